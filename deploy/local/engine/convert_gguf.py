"""Turns a GGUF file into a folder that vLLM serves: `python convert_gguf.py FILE.gguf FOLDER`.

Runs in the engine's environment, which has torch, transformers and gguf; nothing is fetched.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def convert(gguf_file: Path, folder: Path) -> None:
    """Write config.json, model.safetensors (bfloat16), the tokenizer and its chat template into `folder`."""
    source = {"pretrained_model_name_or_path": str(gguf_file.parent), "gguf_file": gguf_file.name}
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    # The weights are plain numbers now; what still calls them quantised would make the saved model unreadable.
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.to(torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(**source).save_pretrained(folder)
    answer_with_likeliest(folder / "generation_config.json")


def answer_with_likeliest(generation_config: Path) -> None:
    """Let an engine choose the likeliest token where a request does not say how to sample.

    GGUF carries no advice on sampling, and the engine's fallback, temperature 1, makes a model of this size
    ramble. Written as JSON: transformers itself would spell this do_sample=false, which vLLM does not read.
    """
    settings = json.loads(generation_config.read_text())
    generation_config.write_text(json.dumps(settings | {"temperature": 0.0}, indent=2) + "\n")


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
