"""Workspaces that ask for the transformers runtime: what is planned, what is rendered, what is refused in words."""

from __future__ import annotations

import pytest

from services.chassis.kube import dig_dicts
from services.contracts.conditions import Reason
from services.contracts.messages import PlanState, WorkspaceState
from services.contracts.offers import Offer, Offers
from services.contracts.plan import Plan, Runtime
from services.contracts.workspace import (
    ANNOTATION_CONCURRENCY,
    ANNOTATION_PERFORMANCE_MODE,
    ANNOTATION_PROVIDER,
    ANNOTATION_RUNTIME,
    Adapter,
    DataSource,
)
from services.deployer.manifests import Images, render
from services.scheduler.architectures import load_architectures
from services.scheduler.catalog import load_catalogue
from services.scheduler.facts import ModelFacts
from services.scheduler.known_skus import load_known_skus
from services.scheduler.make_plan import make_plan
from services.scheduler.refusal import Refusal
from services.scheduler.sizing import DoesNotFit, Machine, Sizing, Wish, size
from tests.unit.planning import NOW, gpu, workspace
from tests.unit.test_explain import check

CATALOGUE, KNOWN, ARCHITECTURES = load_catalogue(), load_known_skus(), load_architectures()
ASKED = {ANNOTATION_RUNTIME: "transformers"}
CLOUD = Offers(
    provider="cloud",
    offers=(gpu("A10", 22, 1.0, capability=8.6), gpu("A10x4", 22, 4.0, gpus=4, capability=8.6)),
    published_at=NOW,
)
LAPTOP = Offers(
    provider="local",
    offers=(Offer(instance_type="laptop", memory_gib=8, price_per_hour=0),),
    published_at=NOW,
)
LACKED = ModelFacts(
    id="acme/codegen", revision="abc", license="mit", weights_gib=5.2, disk_gib=90, context=2048,
    architecture="CodeGenForCausalLM", layers=32, heads=32, kv_heads=32, head_dim=80, hidden_size=2560,
    intermediate_size=10240, vocab_size=51200, transformers=True,
    vllm_lacks=ARCHITECTURES.why_not("acme/codegen", "CodeGenForCausalLM"),
)  # fmt: skip


def planned(state: WorkspaceState, *offers: Offers, hub: ModelFacts | None = None) -> Plan:
    made = make_plan(state, offers or (CLOUD,), (), CATALOGUE, KNOWN, hub=hub)
    assert isinstance(made, Plan), made
    return made


def refused(state: WorkspaceState, hub: ModelFacts | None = None) -> Refusal:
    made = make_plan(state, (CLOUD,), (), CATALOGUE, KNOWN, hub=hub)
    assert isinstance(made, Refusal), made
    return made


def test_a_model_that_vllm_lacks_is_told_which_runtime_has_it() -> None:
    because = refused(workspace("acme/codegen"), hub=LACKED)
    assert because.reason is Reason.INVALID_SPEC
    assert "which vLLM" in because.message
    assert "set the annotation kaito.sh/runtime: transformers" in because.message


def test_it_is_planned_once_the_annotation_is_there() -> None:
    made = planned(workspace("acme/codegen", annotations=ASKED), hub=LACKED)
    assert made.engine is not None
    assert made.engine.runtime is Runtime.TRANSFORMERS
    assert (made.instance_type, made.nodes, made.pod.gpus) == ("A10", 1, 1)
    assert made.engine.max_model_len == 2048
    assert any("one request at a time" in warning for warning in made.warnings)


def test_an_architecture_that_nobody_knows_has_no_such_hint() -> None:
    assert "kaito.sh/runtime" not in (ARCHITECTURES.why_not("acme/x", "QuiteNewForCausalLM") or "")
    assert ARCHITECTURES.why_not("acme/x", "LlamaForCausalLM") is None


def test_the_deployer_starts_the_other_command_with_its_few_flags() -> None:
    made = planned(workspace("phi-3-mini-4k-instruct", annotations=ASKED))
    check(made)
    state = PlanState(namespace="team", name="w", uid="u", generation=1, plan=made)
    *_, workload = render(state, Images("image:1"), "http://collector:4318")
    (container,) = dig_dicts(workload, "spec", "template", "spec", "containers")
    assert container["command"] == ["kaitobus-transformers"]
    assert container["args"] == [
        "--model=microsoft/Phi-3-mini-4k-instruct",
        "--served-model-name=phi-3-mini-4k-instruct",
        "--host=0.0.0.0",
        "--port=5000",
        "--dtype=bfloat16",
        "--max-model-len=4096",
    ]


def test_vllm_stays_what_is_chosen_without_the_annotation_and_by_its_name() -> None:
    for named in ({}, {ANNOTATION_RUNTIME: "vllm"}):
        made = planned(workspace("phi-3-mini-4k-instruct", annotations=named))
        assert made.engine is not None
        assert made.engine.runtime is Runtime.VLLM


def test_every_setting_has_a_reason_here_too() -> None:
    served = [model for model in CATALOGUE.models if model.transformers and not model.quantization]
    assert len(served) > 10
    for model in served:
        for offers in (CLOUD, LAPTOP):
            state = workspace(model.id, annotations={**ASKED, ANNOTATION_PROVIDER: offers.provider})
            if isinstance(made := make_plan(state, [offers], (), CATALOGUE, KNOWN), Plan):
                check(made)


def test_on_a_cpu_it_computes_in_float32() -> None:
    state = workspace("smollm2-135m-instruct", annotations={**ASKED, ANNOTATION_PROVIDER: "local"})
    made = planned(state, LAPTOP)
    assert made.engine is not None
    assert (made.engine.dtype, made.engine.max_model_len, made.pod.gpus) == ("float32", 8192, 0)
    assert made.pod.memory_gib is not None
    assert 2 < made.pod.memory_gib < 8


def test_the_user_may_set_the_length_the_type_and_trust() -> None:
    config = "vllm: {max-model-len: 1024, dtype: float16, trust-remote-code: true}"
    made = planned(workspace("phi-3-mini-4k-instruct", annotations=ASKED, config=config))
    check(made)
    assert made.engine is not None
    assert (made.engine.dtype, made.engine.max_model_len) == ("float16", 1024)
    assert made.engine.flags == {"trust-remote-code": ""}


@pytest.mark.parametrize(
    ("name", "more", "config", "says"),
    [
        ("phi-4", {ANNOTATION_RUNTIME: "sglang"}, None, "must be one of vllm, transformers; it is 'sglang'"),
        ("qwen3-8b-awq", {}, None, "is not known to serve with transformers"),
        ("gpt-oss-20b", {}, None, "has mxfp4 weights, and the transformers runtime serves weights of 16 or 32 bits"),
        ("phi-4", {ANNOTATION_CONCURRENCY: "8"}, None, "answers one request at a time"),
        ("phi-4", {ANNOTATION_PERFORMANCE_MODE: "throughput"}, None, "performance-mode: throughput is for vLLM only"),
        ("phi-4", {}, "vllm: {max-num-seqs: 4, seed: 1}", "vllm.max-num-seqs, vllm.seed: the transformers runtime"),
        ("phi-4", {}, "vllm: {tensor-parallel-size: 2}", "remove tensor-parallel-size from vllm"),
        ("phi-4", {}, "vllm: {gpu-memory-utilization: 0.5}", "vllm.gpu-memory-utilization"),
        ("phi-4", {}, "vllm: {quantization: fp8}", "vllm.quantization"),
        ("phi-4", {}, "vllm: {dtype: int8}", "vllm.dtype must be one of"),
        ("phi-4", {}, "vllm: {max-model-len: 999999}", "reads at most 16384 tokens"),
    ],
)
def test_what_cannot_be_is_refused_in_words(name: str, more: dict[str, str], config: str | None, says: str) -> None:
    assert says in refused(workspace(name, annotations={**ASKED, **more}, config=config)).message


def test_adapters_are_refused() -> None:
    adapters = (Adapter(source=DataSource(name="rhymes", image="r/i"), strength="1.0"),)
    because = refused(workspace("phi-4", annotations=ASKED, adapters=adapters))
    assert "Adapters are served with vLLM only" in because.message


def test_adapters_on_a_model_for_which_vllm_takes_none_are_refused_before_a_node_is_bought() -> None:
    adapters = (Adapter(source=DataSource(name="rhymes", image="r/i"), strength="1.0"),)
    because = refused(workspace("kimi-k2.5", adapters=adapters))
    assert because.reason is Reason.INVALID_SPEC
    assert (
        "vLLM takes no LoRA adapters for models of the architecture KimiK25ForConditionalGeneration" in because.message
    )
    switched_on = refused(workspace("kimi-k2.5", config="vllm: {enable-lora: true}"))
    assert "remove inference.adapters and vllm.enable-lora" in switched_on.message


def test_what_is_not_known_to_take_no_adapters_is_not_refused() -> None:
    adapters = (Adapter(source=DataSource(name="rhymes", image="r/i"), strength="1.0"),)
    assert planned(workspace("phi-3-mini-4k-instruct", adapters=adapters)).lora is not None


def test_a_model_that_vllm_lacks_is_not_tuned_and_no_other_runtime_is_offered() -> None:
    because = refused(workspace("acme/codegen", tuning=True), hub=LACKED)
    assert because.reason is Reason.MODEL_NOT_TUNABLE
    assert "an adapter is served with vLLM only" in because.message
    assert "kaito.sh/runtime" not in because.message


def test_an_adapter_that_vllm_will_not_take_is_warned_of() -> None:
    model = CATALOGUE.resolve("phi-3-mini-4k-instruct")
    assert isinstance(model, ModelFacts)
    without = model.model_copy(update={"lora": False})
    made = planned(workspace("phi-3-mini-4k-instruct", tuning=True, method="qlora"), hub=without)
    assert any("must be merged" in warning for warning in made.warnings)


class TestSizing:
    """Memory on the safe side: weights, keys and values as they are copied, and a whole prompt at once."""

    A100 = Machine(gpus=1, gpu_memory_gib=79.1, cuda_compute_capability=8.0)
    WISH = Wish(runtime=Runtime.TRANSFORMERS)

    def fitting(self, name: str, node: Machine, wish: Wish = WISH) -> Sizing:
        model = CATALOGUE.resolve(name)
        assert isinstance(model, ModelFacts)
        found = size(model, node, wish)
        assert isinstance(found, Sizing), found
        return found

    def test_parts_add_up_and_stay_within_what_may_be_used(self) -> None:
        found = self.fitting("phi-4", self.A100)
        parts = found.weights_gib + found.activation_gib + found.kv_cache_gib
        assert found.memory_gib == pytest.approx(parts)
        assert found.memory_gib < 0.9 * 79.1
        assert found.weights_gib == pytest.approx(27.31, rel=0.01)

    def test_a_model_that_one_gpu_does_not_hold_is_dealt_out_over_those_of_its_node(self) -> None:
        node = Machine(gpus=4, gpu_memory_gib=22.0, cuda_compute_capability=8.6)
        found = self.fitting("phi-4", node)
        assert (found.gpus_per_node, found.nodes, found.tensor_parallel, found.data_parallel) == (2, 1, 1, 1)
        assert found.weights_gib > 27.31 / 2

    def test_longer_prompts_take_more_memory_than_the_usual_ones(self) -> None:
        usual = self.fitting("llama-3.1-8b-instruct", self.A100)
        longer = self.fitting("llama-3.1-8b-instruct", self.A100, self.WISH.model_copy(update={"context": 32_768}))
        assert usual.max_model_len == 8192
        assert longer.max_model_len == 32_768
        assert longer.memory_gib > usual.memory_gib
        assert any("could read 131072" in warning for warning in usual.warnings)

    def test_what_does_not_fit_is_told_with_its_numbers(self) -> None:
        model = CATALOGUE.resolve("llama-3.3-70b-instruct")
        assert isinstance(model, ModelFacts)
        found = size(model, self.A100, self.WISH)
        assert isinstance(found, DoesNotFit)
        assert "does not fit 1 GPU of 79.1 GiB with the transformers runtime" in found.reason
        assert "one node only" in found.reason
