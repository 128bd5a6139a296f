"""`kaitobus size`: the memory of one model on one GPU size, part by part."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from services.cli.options import Output, OutputOption

DOES_NOT_FIT = 3
"""The exit code where no request fits; the parts are printed all the same."""
_UNITS = {"": 1.0, "g": 1.0, "gi": 1.0, "gib": 1.0, "gb": 1e9 / 2**30, "m": 2.0**-10, "mi": 2.0**-10, "mib": 2.0**-10}

Model = Annotated[
    str, typer.Option("--config", metavar="DIR_OR_ID", help="A folder with config.json, or a model's name.")
]
Memory = Annotated[str, typer.Option("--gpu-memory", metavar="SIZE", help="As the driver reports it: 139.8GiB.")]


def size(
    config: Model,
    gpu_memory: Memory,
    gpus: Annotated[int, typer.Option(min=1, max=64, help="GPUs of one node, used by one replica.")] = 1,
    utilization: Annotated[float, typer.Option(min=0.01, max=1.0, help="Share that vLLM may use.")] = 0.9,
    max_num_batched_tokens: Annotated[int | None, typer.Option(min=1, max=10**7, help="Tokens of a step.")] = None,
    max_num_seqs: Annotated[int | None, typer.Option(min=1, max=65536, help="Requests at once.")] = None,
    kv_cache_dtype: Annotated[str, typer.Option(help="auto or fp8.")] = "auto",
    max_model_len: Annotated[int | None, typer.Option(min=1, max=10**9, help="Context; else as long as fits.")] = None,
    quantization: Annotated[str | None, typer.Option(help="What vLLM is told to make of the weights: fp8.")] = None,
    max_loras: Annotated[int, typer.Option(min=0, max=256, help="Slots for adapters.")] = 0,
    max_lora_rank: Annotated[int, typer.Option(min=1, max=512, help="Largest rank of an adapter.")] = 16,
    enforce_eager: Annotated[bool, typer.Option(help="Without compiling and CUDA graphs.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Predict what a model takes of each GPU, and how many tokens its cache holds there."""
    from services.cli.models import find_model
    from services.cli.sizes import Question, answer
    from services.cli.view.size import print_size, show_size

    question = Question(
        gpu_memory_gib=memory_gib(gpu_memory),
        gpus=gpus,
        utilization=utilization,
        batched=max_num_batched_tokens,
        sequences=max_num_seqs,
        cache_dtype=kv_cache_dtype,
        max_model_len=max_model_len,
        quantization=quantization,
        adapters=max_loras,
        adapter_rank=max_lora_rank,
        eager=enforce_eager,
    )
    found = find_model(config)
    answered = answer(found, question)
    print_size(answered) if output is Output.JSON else show_size(answered)
    _remark(found.note, answered.problem)


def _remark(note: str | None, problem: str | None) -> None:
    """What is to be said beside the numbers. Ends the command where the model does not fit."""
    if note:
        typer.echo(f"Note: {note}", err=True)
    if problem:
        typer.echo(problem, err=True)
        raise typer.Exit(DOES_NOT_FIT)


def memory_gib(text: str) -> float:
    """A size such as 139.8GiB, 24GB or 81559MiB, in GiB; without a unit it is GiB. Raises CliError."""
    from services.cli.errors import CliError

    found = re.fullmatch(r"\s*(\d{1,6}(?:\.\d{1,6})?)\s*([a-zA-Z]{0,3})\s*", text)
    unit = _UNITS.get(found[2].lower()) if found else None
    if found is None or unit is None or not 0 < float(found[1]) * unit <= 10_000:
        raise CliError(f"--gpu-memory is {text[:40]!r}; write it as 139.8GiB, 24GB or 81559MiB, up to 10000 GiB.")
    return float(found[1]) * unit
