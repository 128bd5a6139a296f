"""Shows the answer of `kaitobus size`."""

from __future__ import annotations

from services.cli.sizes import Answer
from services.cli.view.console import make_console, print_json
from services.cli.view.text import columns

_PARTS = ("weights", "activation", "non_torch", "graphs", "kv_cache")


def print_size(answer: Answer) -> None:
    """Print all numbers as JSON; memory in GiB of one GPU."""
    memory, split, limits = answer.memory, answer.split, answer.limits
    print_json(
        {
            "model": answer.model,
            **{f"{part}_gib": round(getattr(memory, f"{part}_gib"), 3) for part in _PARTS},
            "kv_bytes_per_token": memory.kv_bytes_per_token,
            "kv_tokens": memory.kv_tokens,
            "max_model_len": memory.max_model_len,
            "concurrency": round(answer.concurrency, 2),
            "tensor_parallel": split.tensor,
            "pipeline_parallel": split.pipeline,
            "expert_parallel": split.expert_parallel,
            "utilization": limits.utilization,
            "max_num_batched_tokens": limits.batched,
            "max_num_seqs": limits.sequences,
        }
    )


def show_size(answer: Answer) -> None:
    """Print the parts one below the other."""
    memory, split = answer.memory, answer.split
    rows = [[part.replace("_", " "), f"{getattr(memory, f'{part}_gib'):.2f} GiB"] for part in _PARTS]
    rows += [
        ["bytes a token", f"{memory.kv_bytes_per_token}"],
        ["tokens of cache", f"{memory.kv_tokens}"],
        ["longest context", f"{memory.max_model_len}"],
        ["such requests at once", f"{answer.concurrency:.1f}"],
        ["GPUs", f"{split.tensor} tensor x {split.pipeline} pipeline parallel"],
    ]
    for line in columns(("ON EACH GPU", answer.model), rows):
        make_console().print(line, markup=False)
