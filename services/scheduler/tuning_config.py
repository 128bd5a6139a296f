"""The user's training settings: the ConfigMap that `tuning.config` names, key `training_config.yaml`. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from services.contracts.conditions import Reason
from services.contracts.messages import WorkspaceState
from services.contracts.workspace import CONFIG_KEY_TUNING, Tuning
from services.scheduler.engine_config import BadConfig, read_yaml
from services.scheduler.facts import ModelFacts
from services.scheduler.refusal import Refusal
from services.tuning.read import BadTuning, read_tuning
from services.tuning.sections import TuningConfig

_CAUSAL = ("ForCausalLM", "LMHeadModel")
"""Ends of the names of architectures that go on with a text, and can be tuned to."""


def read_tuning_config(configs: Mapping[str, str], tuning: Tuning) -> TuningConfig:
    """Read the settings; without a ConfigMap KAITO's defaults. Raises BadConfig with a sentence for the user."""
    try:
        return read_tuning(read_yaml(CONFIG_KEY_TUNING, configs.get(CONFIG_KEY_TUNING, "")), tuning.method)
    except BadTuning as error:
        raise BadConfig(f"{CONFIG_KEY_TUNING}: {error}") from error


def tuning_of(state: WorkspaceState) -> TuningConfig | None:
    """The settings of a workspace that tunes; None for one that serves. Raises BadConfig."""
    return read_tuning_config(state.configs, state.spec.tuning) if state.spec.tuning else None


def not_tunable(model: ModelFacts) -> Refusal | None:
    """Why a model cannot be tuned, whatever the machine."""
    if not model.architecture.endswith(_CAUSAL):
        because = f"its architecture {model.architecture} is no causal language model, and only such are tuned"
    elif model.quantization:
        because = f"its weights are {model.quantization} already. Name the model that they were made from"
    elif model.vllm_lacks:
        because = (
            f"vLLM does not load its architecture {model.architecture}, and an adapter is served with vLLM only. Name "
            "a model that vLLM serves"
        )
    elif model.own_code:
        because = "it needs the code that its repository brings, and that is not run for tuning"
    elif model.load_format == "mistral":
        because = "its files are in Mistral's own format, which the trainer does not read"
    else:
        return None
    return Refusal(reason=Reason.MODEL_NOT_TUNABLE, message=f"{model.id} cannot be tuned: {because}.")
