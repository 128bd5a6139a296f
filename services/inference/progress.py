"""How far a start has come, in words, as JSON and as metrics. Pure, but for the folder whose bytes it counts."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.inference.heard import Heard, Step

GIB = 2**30
ENGINE = "engine init"
FIRST_TOKEN = "first token"
IMPORT = "import"

_WORDS: Mapping[str, tuple[str, str]] = {
    IMPORT: ("The engine's libraries are being read", "the engine starts"),
    ENGINE: ("The engine is starting", "it loads the model"),
    Step.DOWNLOAD: ("The model is being downloaded", "the engine loads it into memory"),
    Step.LOAD: ("The model is being loaded into memory", "the engine compiles it and warms up"),
    Step.COMPILE: ("The model is being compiled", "the engine warms up"),
    Step.GRAPHS: ("The engine captures its graphs", "it makes the first token"),
    Step.WARM_UP: ("The engine warms up", "it makes the first token"),
    FIRST_TOKEN: ("The engine makes its first token", "the server is ready"),
}
"""Each phase: what goes on, and what comes next."""


@dataclass(frozen=True)
class Progress:
    """A moment of a start. Bytes are those of the model's files on this machine, None where nobody knows."""

    phase: str
    seconds: float
    done_bytes: int | None = None
    total_bytes: int | None = None

    @property
    def message(self) -> str:
        """One line for a person: what goes on, for how long, how much of how much, what comes next."""
        now, after = _WORDS.get(self.phase, (f"The server is starting ({self.phase})", "it goes on"))
        amount = f", {_amount(self.done_bytes, self.total_bytes)}" if self.done_bytes else ""
        return f"{now}{amount}; the start has taken {self.seconds:.0f} s so far. Next {after}."

    def body(self) -> dict[str, object]:
        """Return what `/health` says."""
        return {
            "status": "starting",
            "phase": self.phase,
            "seconds": round(self.seconds, 1),
            "downloaded_bytes": self.done_bytes,
            "total_bytes": self.total_bytes,
            "message": self.message,
        }

    def metrics(self) -> str:
        """Return what `/metrics` says, in Prometheus' text format."""
        lines = [
            *_metric("phase", "The phase that the start is in.", f'{{phase="{self.phase}"}} 1'),
            *_metric("elapsed_seconds", "How long the start has taken so far.", f" {self.seconds:.3f}"),
        ]
        if self.done_bytes is not None:
            lines += _metric("downloaded_bytes", "Bytes of the model that are on this machine.", f" {self.done_bytes}")
        if self.total_bytes is not None:
            lines += _metric("total_bytes", "Bytes of the model.", f" {self.total_bytes}")
        return "\n".join(lines) + "\n"


def _metric(name: str, words: str, sample: str) -> Iterable[str]:
    full = f"kaitobus_start_{name}"
    return f"# HELP {full} {words}", f"# TYPE {full} gauge", full + sample


def _amount(done: int, total: int | None) -> str:
    of = f" of {total / GIB:.1f}" if total else ""
    return f"{done / GIB:.1f}{of} GiB are here"


def phase_of(current: str, steps: Iterable[Heard], *, downloading: bool) -> str:
    """Return the phase: inside of the engine's start, the step that began last, or the download that it waits for."""
    if current != ENGINE:
        return current
    if downloading:
        return Step.DOWNLOAD
    begun = list(steps)
    return begun[-1].step if begun else current


@dataclass(frozen=True)
class Files:
    """Where the model's files are or come to be, and how many bytes they will be, where that is known."""

    folder: Path
    expected_bytes: int | None = None

    def count(self) -> tuple[int, bool]:
        """Return the bytes that are there, and whether a download is under way."""
        sizes, downloading = 0, False
        for path in self.folder.rglob("*"):
            try:
                if path.is_file() and not path.is_symlink():
                    stat = path.stat()
                    sizes += min(stat.st_size, stat.st_blocks * 512)  # a file may be given its size first
                    downloading |= path.suffix == ".incomplete"
            except OSError:
                continue  # renamed since it was listed
        return sizes, downloading


def look(files: Files | None, current: str, steps: Callable[[], Iterable[Heard]], seconds: float) -> Progress:
    """Return how far the start has come."""
    done, downloading = files.count() if files else (None, False)
    phase = phase_of(current, steps(), downloading=downloading)
    return Progress(phase, seconds, done or None, files.expected_bytes if files else None)
