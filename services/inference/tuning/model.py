"""Loads the base model as a run wants it, and says in plain words when that fails. Uses transformers and peft."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.inference.tuning.failure import TuningError
from services.inference.tuning.spec import Spec
from services.tuning.sections import Dtype

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from trl import SFTConfig

_OLDEST_BFLOAT16 = (8, 0)
DEFAULT_LENGTH = 1024
"""Tokens of an example at most, where the user says nothing."""


def dtype_of(wanted: Dtype) -> torch.dtype:
    """What is computed in: what the user says; else bfloat16, on GPUs before Ampere float16, on CPUs float32."""
    import torch

    if wanted is not Dtype.AUTO:
        return {Dtype.BFLOAT16: torch.bfloat16, Dtype.FLOAT16: torch.float16}.get(wanted, torch.float32)
    if not torch.cuda.is_available():
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability() >= _OLDEST_BFLOAT16 else torch.float16


def load_tokenizer(spec: Spec) -> PreTrainedTokenizerBase:
    """The tokenizer; it pads with the end of a text where the model has nothing else for it."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(spec.model, revision=spec.revision)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(spec: Spec) -> PreTrainedModel:
    """The base model on this process's device. Raises TuningError where it is no causal language model."""
    import torch
    from accelerate import PartialState
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    config = AutoConfig.from_pretrained(spec.model, revision=spec.revision)
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise TuningError(f"{spec.name} is no causal language model ({config.model_type}), and only such are tuned.")
    device = PartialState().device if torch.cuda.is_available() else torch.device("cpu")
    return AutoModelForCausalLM.from_pretrained(
        spec.model,
        revision=spec.revision,
        dtype=dtype_of(spec.config.model.torch_dtype),
        device_map={"": device},
        attn_implementation=spec.config.model.attn_implementation,
        quantization_config=_quantization(spec),
        use_safetensors=True,
    )


def _quantization(spec: Spec) -> object:
    from transformers import BitsAndBytesConfig

    small = spec.config.quantization
    if not (small.load_in_4bit or small.load_in_8bit):
        return None
    compute = dtype_of(spec.config.model.torch_dtype)
    if small.bnb_4bit_compute_dtype is not Dtype.AUTO:
        compute = dtype_of(small.bnb_4bit_compute_dtype)
    return BitsAndBytesConfig(
        load_in_4bit=small.load_in_4bit,
        load_in_8bit=small.load_in_8bit,
        bnb_4bit_quant_type=small.bnb_4bit_quant_type,
        bnb_4bit_compute_dtype=compute,
        bnb_4bit_use_double_quant=small.bnb_4bit_use_double_quant,
    )


def lora_of(spec: Spec) -> LoraConfig:
    """The adapter's settings for peft."""
    from peft import LoraConfig

    lora = spec.config.lora.model_dump(exclude_none=True)
    for name in ("target_modules", "exclude_modules", "layers_to_transform"):
        if isinstance(lora.get(name), tuple):
            lora[name] = list(lora[name])
    return LoraConfig(**lora)


def training_of(spec: Spec, context: int | None) -> SFTConfig:
    """The trainer's settings. `context` is what the model can read. Nothing is reported anywhere."""
    import torch
    from trl import SFTConfig

    given = spec.config.training
    taken = given.model_dump(
        exclude={
            "output_dir", "max_length", "save_strategy", "save_steps", "warmup_ratio", "report_to", "eval_strategy",
            "bf16", "fp16",
        },
        exclude_none=True,
    )  # fmt: skip
    dtype, cuda = dtype_of(spec.config.model.torch_dtype), torch.cuda.is_available()
    length = given.max_length or min(DEFAULT_LENGTH, context or DEFAULT_LENGTH)
    return SFTConfig(
        **{**taken, "warmup_steps": given.warmup_steps or given.warmup_ratio},
        output_dir=str(spec.checkpoints),
        max_length=min(length, context or length),
        save_strategy="no",
        save_total_limit=2,
        report_to=[],
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        use_cpu=not cuda,
        bf16=dtype == torch.bfloat16 if given.bf16 is None else given.bf16,
        fp16=(dtype == torch.float16 and cuda) if given.fp16 is None else given.fp16,
    )
