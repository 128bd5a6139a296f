"""The table of `docs/sizing.md`: predicted against measured, and KAITO's estimate beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.measured.kaito import kaito_tokens
from tests.measured.rows import Measured, predicted

HEAD = (
    "| model | GPU, share, tokens/requests a step, context | weights | activation | non-torch | graphs "
    "| cache, tokens | error | KAITO's |\n|---|---|---|---|---|---|---|---|---|"
)


def table(rows: Sequence[Measured]) -> str:
    """One line a start; each part as predicted / measured in GiB. Errors are of the tokens, below 0 for too few."""
    return "\n".join([HEAD, *(_line(row) for row in rows)])


def _line(row: Measured) -> str:
    cells = [row.model, _settings(row), *_parts(row)]
    memory = predicted(row)
    cells += [
        f"{memory.kv_tokens:,} / {row.kv_tokens:,}",
        _error(memory.kv_tokens, row),
        _error(kaito_tokens(row), row),
    ]
    return f"| {' | '.join(cells)} |"


def _settings(row: Measured) -> str:
    text = f"{row.gpu}, {row.utilization:g}, {row.max_num_batched_tokens}/{row.max_num_seqs}, {row.max_model_len}"
    return text + (f", {row.quantization}" if row.quantization else "") + (", LoRA 4 x 64" if row.max_loras else "")


def _parts(row: Measured) -> Iterator[str]:
    memory = predicted(row)
    for name in ("weights_gib", "activation_gib", "non_torch_gib", "graphs_gib"):
        value: float | None = getattr(row, name)
        yield f"{getattr(memory, name):.2f} / {'-' if value is None else f'{value:.2f}'}"


def _error(tokens: int, row: Measured) -> str:
    return f"{100 * (tokens / row.kv_tokens - 1):+.1f} %"
