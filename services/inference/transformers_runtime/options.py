"""The command line of `kaitobus-transformers`. Its flags have the names and meanings of vLLM's where vLLM has them."""

import argparse
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from services.inference.front import DEFAULT_PORT


class Options(BaseModel):
    """What to serve and how. Lengths in tokens."""

    model_config = ConfigDict(frozen=True)

    model: str
    served_model_name: str
    revision: str | None = None
    host: str = "0.0.0.0"  # noqa: S104 - a pod is reached at its own address
    port: int = DEFAULT_PORT
    dtype: str = "auto"
    max_model_len: int | None = None
    trust_remote_code: bool = False
    api_keys: tuple[str, ...] = ()


def parse_options(argv: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Read the flags; ends the process with code 2 on a wrong one. VLLM_API_KEY counts as `--api-key` does."""
    parser = argparse.ArgumentParser(prog="kaitobus-transformers", description=__doc__, allow_abbrev=False)
    parser.add_argument("--model", required=True, help="Id on the hub, or a folder.")
    parser.add_argument("--served-model-name", help="What clients call it; left out, as --model.")
    parser.add_argument("--revision", help="A commit on the hub.")
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104 - a pod is reached at its own address
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--dtype", choices=("auto", "float32", "float16", "bfloat16"), default="auto")
    parser.add_argument("--max-model-len", type=_positive, help="Most tokens of prompt and answer together.")
    parser.add_argument("--trust-remote-code", action="store_true", help="Run the code that the checkpoint brings.")
    parser.add_argument("--api-key", action="append", default=[], help="Whoever asks must have one of these.")
    given = parser.parse_args(list(argv))
    keys = given.api_key or [environ.get("VLLM_API_KEY", "")]
    return Options(
        **{name: value for name, value in vars(given).items() if name not in ("api_key", "served_model_name")},
        served_model_name=given.served_model_name or given.model,
        api_keys=tuple(key for key in keys if key),
    )


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no whole number above 0")
    return int(text)
