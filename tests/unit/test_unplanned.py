"""Settings that the memory model does not know, and code that comes with a model: said or refused in words."""

from __future__ import annotations

import pytest

from services.contracts.workspace import CONFIG_KEY_INFERENCE
from services.scheduler.architectures import load_architectures
from services.scheduler.engine_config import BadConfig, EngineConfig, read_config
from services.scheduler.hub.errors import HubError
from services.scheduler.hub.model_facts import model_facts
from services.scheduler.own_code import check_trust, trust_warnings
from services.scheduler.unplanned import check_settings, unplanned
from tests.hub.models import LLAMA
from tests.unit.test_hub_parts import fetched

ARCHITECTURES = load_architectures()
OWN = {"AutoConfig": "configuration_x.XConfig", "AutoModelForCausalLM": "modeling_x.XForCausalLM"}
TRUSTED = EngineConfig(flags={"trust-remote-code": ""})


def config(text: str) -> EngineConfig:
    return read_config({CONFIG_KEY_INFERENCE: f"vllm: {{{text}}}"})


def test_what_is_on_by_default_is_switched_off() -> None:
    found = config("enable-prefix-caching: false, enable_chunked_prefill: false, enforce-eager: false")
    assert set(found.flags) == {"no-enable-prefix-caching", "no-enable-chunked-prefill"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kv-cache-dtype: int3", "kv-cache-dtype is 'int3'"),
        ("enable-chunked-prefill: false", "a whole prompt is one step"),
        ("enable-chunked-prefill: false, max-model-len: 8192, max-num-batched-tokens: 2048", "at least as much"),
    ],
)
def test_what_the_engine_would_not_start_with_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadConfig, match=words):
        check_settings(config(text))


def test_whole_prompts_that_fit_a_step_are_let_through() -> None:
    check_settings(config("enable-chunked-prefill: false, max-model-len: 8192, max-num-batched-tokens: 8192"))


@pytest.mark.parametrize(
    "text",
    ['speculative-config: \'{"method": "ngram"}\'', "cpu-offload-gb: 10", "block-size: 32", "hf-overrides: '{}'"],
)
def test_what_is_not_counted_is_said(text: str) -> None:
    (said,) = unplanned(config(text))
    assert said.startswith(f"You set {text.partition(':')[0]}: ")


def test_nothing_is_said_of_settings_that_are_planned() -> None:
    assert not [*unplanned(config("max-num-seqs: 8, kv-cache-dtype: fp8, enforce-eager: true"))]


class TestOwnCode:
    """A model whose repository brings its code."""

    strange = fetched({**LLAMA, "architectures": ["StrangeForCausalLM"], "auto_map": OWN})

    def test_runs_only_if_the_user_says_so(self) -> None:
        facts = model_facts(self.strange, ARCHITECTURES)
        with pytest.raises(BadConfig, match=r"code of others.*trust-remote-code: true"):
            check_trust(facts, EngineConfig())
        check_trust(facts, TRUSTED)
        assert "own code run" in next(trust_warnings(facts, TRUSTED))

    def test_is_not_needed_where_the_engine_has_the_architecture(self) -> None:
        facts = model_facts(fetched({**LLAMA, "auto_map": OWN}), ARCHITECTURES)
        check_trust(facts, EngineConfig())
        assert not [*trust_warnings(facts, EngineConfig())]
        assert "vLLM has the architecture" in next(trust_warnings(facts, TRUSTED))

    @pytest.mark.parametrize("auto_map", [None, [], {}, {"AutoConfig": "a.B"}, {"AutoModelForCausalLM": 3}])
    def test_without_a_model_class_there_is_nothing_to_trust(self, auto_map: object) -> None:
        with pytest.raises(HubError, match="does not load"):
            model_facts(
                fetched({**LLAMA, "architectures": ["StrangeForCausalLM"], "auto_map": auto_map}), ARCHITECTURES
            )
