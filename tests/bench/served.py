"""Served tokens: `vllm serve` beside `kaitobus-inference` with the same flags, in one run.

`python -m tests.bench served [--rounds N] [--concurrency N ...] [-- FLAGS OF VLLM]`. Both are started and stay; each
round gives the same load to one and then to the other, and who begins changes from round to round. CPU seconds are
those of all processes of the server that is asked: other work on the machine changes them least.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from deploy.local.engine import ensure_engine
from services.inference.benchmark.figures import Load, Summary
from tests.bench.serving import Server, measure
from tests.bench.start import BARE, FLAGS, NAME, OURS, Bench, cpu_seconds

PROGRAMS = (BARE, OURS)


@dataclass(frozen=True)
class Loaded:
    """One load on one server. `cpu_ms` of all its processes, for each token that it answered with."""

    program: str
    round: int
    summary: Summary
    cpu_ms: float

    @property
    def figures(self) -> tuple[float, float, float, float]:
        """Tokens a second; milliseconds to the first token and to each further one; CPU milliseconds a token."""
        found = self.summary
        return (
            found.tokens_per_second, 1000 * found.first_token_median, 1000 * found.each_token_median, self.cpu_ms
        )  # fmt: skip


def loads(servers: Mapping[str, tuple[int, int]], given: argparse.Namespace, at_once: int) -> Iterator[Loaded]:
    """Yield a load of each server in each round. `servers` has the session and the port of each."""
    for number in range(-1, given.rounds):  # the first warms up
        for program in PROGRAMS if number % 2 == 0 else reversed(PROGRAMS):
            session, port = servers[program]
            seed = given.seed + 1000 * at_once + number + 1  # no prompt twice: its prefix would be in the cache
            load = Load(at_once, given.requests, given.prompt_tokens, given.output_tokens, seed)
            before = cpu_seconds(session)
            summary = measure(Server(f"http://127.0.0.1:{port}/v1", "none", NAME), load)
            if summary.failed:
                raise RuntimeError(f"{program}: {summary.failed} of {given.requests} requests failed")
            if number >= 0:
                yield Loaded(program, number, summary, 1000 * (cpu_seconds(session) - before) / summary.tokens)


def table(found: Sequence[Loaded]) -> str:
    """A row for each program, and the median of the ratios of each round."""
    by = {program: {f.round: f.figures for f in found if f.program == program} for program in PROGRAMS}
    ratios = [[ours / bare for ours, bare in zip(by[OURS][n], by[BARE][n], strict=True)] for n in by[OURS]]
    rows = [(program, *_medians(list(by[program].values()), 1)) for program in PROGRAMS]
    rows.append(("median of the ratios", *_medians(ratios, 3)))
    head = ("", "tokens/s", "first token ms", "each token ms", "CPU ms/token")
    return "\n".join(f"{row[0]:<20}" + "".join(f"{cell:>16}" for cell in row[1:]) for row in (head, *rows))


def _medians(rows: Sequence[Sequence[float]], digits: int) -> Iterator[str]:
    return (f"{statistics.median(column):.{digits}f}" for column in zip(*rows, strict=True))


def _read(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench served", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8], help="requests at once, one table each")
    parser.add_argument("--requests", type=int, default=16, help="of each load")
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--output-tokens", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0, help="of the random prompts")
    parser.add_argument("flags", nargs="*", default=FLAGS, help=f"of vLLM, after --; left out: {' '.join(FLAGS)}")
    return parser.parse_args(list(argv))


def main(argv: Sequence[str]) -> None:
    """Measure and print."""
    given = _read(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are ended
    with tempfile.TemporaryDirectory(prefix="kaitobus-bench-") as folder, ExitStack() as stack:
        bench = Bench(ensure_engine(_say), tuple(given.flags), Path(folder), Path(folder))
        servers = {program: stack.enter_context(bench.running(program)) for program in PROGRAMS}
        for at_once in given.concurrency:
            found = table(list(loads(servers, given, at_once)))
            sys.stdout.write(f"{at_once} at once, {given.rounds} rounds\n{found}\n")
            sys.stdout.flush()


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
