"""The sections of a training configuration, named as in KAITO, with the keys that are let through. Pure.

A key is let through where it changes how is trained and not what else is done: nothing here names a file, a hub or a
service to report to. Defaults are KAITO's, unless said otherwise.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

MOST = 10**8
"""No number of steps, examples or tokens is larger."""
Count = Annotated[int, Field(ge=1, le=MOST)]


class Section(BaseModel):
    """One section. Unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class Dtype(StrEnum):
    """What weights are loaded in and computed with. `auto`: bfloat16, or what the machine has instead."""

    AUTO = "auto"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FLOAT32 = "float32"


class ModelConfig(Section):
    """How the base model is loaded. `local_files_only` and `device_map` are taken in and decided by the plan."""

    torch_dtype: Dtype = Dtype.AUTO
    attn_implementation: Literal["eager", "sdpa", "flash_attention_2"] | None = None
    local_files_only: bool = True
    device_map: str | None = "auto"
    trust_remote_code: Literal[False] = False


class QuantizationConfig(Section):
    """How the base model's weights are made smaller while it is tuned (bitsandbytes)."""

    load_in_4bit: bool = False
    load_in_8bit: bool = False
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = "nf4"
    bnb_4bit_compute_dtype: Dtype = Dtype.AUTO
    bnb_4bit_use_double_quant: bool = True

    @property
    def bits(self) -> float:
        """Bits of a weight with its scales: 4 and an absmax of 8 bits for each 64, or of 32 bits without double quant
        (QLoRA, arXiv 2305.14314, section 3); 8 with row and column scales; else 16.
        """
        if self.load_in_4bit:
            return 4.127 if self.bnb_4bit_use_double_quant else 4.5
        return 8.1 if self.load_in_8bit else 16


class LoraConfig(Section):
    """The adapter."""

    r: int = Field(default=8, ge=1, le=512)
    lora_alpha: float = Field(default=8, gt=0)
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] | str | None = None
    """Names of layers, a pattern, or all-linear; None: those that peft knows for the architecture."""
    exclude_modules: tuple[str, ...] | str | None = None
    layers_to_transform: tuple[int, ...] | None = None
    use_rslora: bool = False
    bias: Literal["none"] = "none"
    task_type: Literal["CAUSAL_LM"] = "CAUSAL_LM"


class TrainingArguments(Section):
    """How it is trained. `output_dir` is taken in; the result goes where `tuning.output` says."""

    output_dir: str = "/mnt/results"
    num_train_epochs: PositiveFloat = 3
    max_steps: int = Field(default=-1, ge=-1, le=MOST)
    per_device_train_batch_size: Count = 1
    per_device_eval_batch_size: Count = 1
    gradient_accumulation_steps: Count = 1
    gradient_checkpointing: bool = False
    learning_rate: PositiveFloat = 2e-4
    """The usual one for LoRA; the library's own is meant for all weights of a model."""
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup", "polynomial"] = "linear"
    warmup_steps: int = Field(default=0, ge=0)
    warmup_ratio: float = Field(default=0.0, ge=0, le=1)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, ge=0)
    optim: Literal[
        "adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "adafactor", "sgd"
    ] = "adamw_torch"
    adam_beta1: float = Field(default=0.9, ge=0, lt=1)
    adam_beta2: float = Field(default=0.999, ge=0, lt=1)
    adam_epsilon: PositiveFloat = 1e-8
    seed: int = Field(default=42, ge=0, lt=2**32)
    data_seed: int | None = Field(default=None, ge=0, lt=2**32)
    max_length: int | None = Field(default=None, ge=8, le=MOST)
    """Tokens of an example; what is longer is cut. Left out, 1024, or what the model can read if that is less."""
    packing: bool = False
    completion_only_loss: bool | None = None
    assistant_only_loss: bool = False
    neftune_noise_alpha: PositiveFloat | None = None
    logging_steps: Count = 1
    save_strategy: Literal["no", "steps", "epoch"] = "no"
    """What is kept beside the result: nothing. Checkpoints to go on from are always written."""
    save_steps: Count | None = None
    """Steps between checkpoints; left out, one every five minutes."""
    ddp_find_unused_parameters: bool = False
    dataloader_num_workers: int = Field(default=0, ge=0, le=16)
    eval_strategy: Literal["no"] = "no"
    report_to: Literal["none"] | tuple[()] = "none"
    bf16: bool | None = None
    fp16: bool | None = None


class DataCollator(Section):
    """Taken in: a causal model always learns the next token, whatever `mlm` says."""

    mlm: bool = True
    mlm_probability: float | None = None


class DatasetConfig(Section):
    """What the columns of the data are, and how it is divided."""

    shuffle_dataset: bool = True
    shuffle_seed: int = Field(default=42, ge=0, lt=2**32)
    train_test_split: float = Field(default=1.0, gt=0, le=1)
    """The share that is trained on; on the rest the loss is measured at the end."""
    instruction_column: str | None = None
    context_column: str | None = None
    response_column: str | None = None
    messages_column: str | None = None
    dataset_file_extension: Literal["csv", "json", "jsonl", "parquet", "arrow"] | None = None


class TuningConfig(Section):
    """All sections."""

    model: ModelConfig = Field(default=ModelConfig(), alias="ModelConfig")
    quantization: QuantizationConfig = Field(default=QuantizationConfig(), alias="QuantizationConfig")
    lora: LoraConfig = Field(default=LoraConfig(), alias="LoraConfig")
    training: TrainingArguments = Field(default=TrainingArguments(), alias="TrainingArguments")
    dataset: DatasetConfig = Field(default=DatasetConfig(), alias="DatasetConfig")
    collator: DataCollator = Field(default=DataCollator(), alias="DataCollator")

    def to_sections(self) -> dict[str, object]:
        """The sections by name, with what differs from the defaults."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
