"""Which node a machine gets, what a claim changes on it, and that giving it back undoes just that."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.chassis.kube import JsonObject, dig, dig_dict
from services.contracts.errors import FailureCode, ProviderError
from services.provisioner.provider import InstanceSpec, Owner
from services.provisioner.providers.byo.choice import choose, offers, unreadable, wanted_labels, why_not
from services.provisioner.providers.byo.claims import RECORD, claim_of, claiming, giving_back, new_claim
from services.provisioner.providers.byo.gpus import machine_of, model_of, quantity_gib

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
SIZE = "byo-A100-80GB-x4"
GFD = {
    "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB", "nvidia.com/gpu.count": "4", "nvidia.com/gpu.memory": "81920",
    "nvidia.com/gpu.compute.major": "8", "nvidia.com/gpu.compute.minor": "0",
}  # fmt: skip


def node(name: str, *, ready: bool = True, cordoned: bool = False, gfd: bool = True, **labels: str) -> JsonObject:
    return {
        "metadata": {"name": name, "resourceVersion": "7", "labels": (GFD if gfd else {}) | labels},
        "spec": {"unschedulable": True} if cordoned else {},
        "status": {
            "capacity": {"cpu": "64", "memory": "1056964608Ki", "nvidia.com/gpu": "4"},
            "conditions": [{"type": "Ready", "status": "True" if ready else "False", "message": "kubelet stopped"}],
        },
    }


def spec(*preferred: str, size: str = SIZE, index: int = 0, workspace: str = "w", **labels: str) -> InstanceSpec:
    ours = {"kaito.sh/workspace": workspace, "kaito.sh/provider": "byo"}
    return InstanceSpec(
        name=f"byo-{workspace}-{index}", owner=Owner(namespace="ns", name=workspace, uid=workspace), instance_type=size,
        labels=labels | ours, taints=("sku=gpu:NoSchedule",), preferred_nodes=preferred,
    )  # fmt: skip


def merged(target: JsonObject, patch: JsonObject) -> JsonObject:
    """JSON merge patch (RFC 7396)."""
    found = dict(target)
    for key, value in patch.items():
        before = found.get(key)
        if value is None:
            found.pop(key, None)
        elif isinstance(value, dict):
            found[key] = merged(before if isinstance(before, dict) else {}, value)
        else:
            found[key] = value
    return found


def claimed(target: JsonObject, wanted: InstanceSpec) -> JsonObject:
    return merged(target, claiming(target, new_claim(target, wanted, NOW)))


def refusal(nodes: list[JsonObject], wanted: InstanceSpec) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        choose(nodes, wanted)
    return caught.value


class TestHardware:
    """What a node has."""

    def test_is_read_from_labels_and_capacity(self) -> None:
        found = machine_of(node("a"))
        assert found is not None
        assert (found.size, found.gpus, found.gpu_memory_gib) == (SIZE, 4, 80.0)
        assert (found.gpu_model, found.compute_capability, found.cpu) == ("A100-80GB", 8.0, 64)
        assert found.memory_gib == 1008.0

    @pytest.mark.parametrize(("label", "size"), [("dgx-a100", "dgx-a100"), ("k3s", SIZE), ("", SIZE)])
    def test_is_named_by_the_instance_type_unless_that_says_nothing(self, label: str, size: str) -> None:
        named = node("a")
        dig_dict(named, "metadata", "labels")["node.kubernetes.io/instance-type"] = label
        found = machine_of(named)
        assert found is not None
        assert found.size == size

    def test_without_labels_is_not_known(self) -> None:
        assert machine_of(node("a", gfd=False)) is None
        assert unreadable([node("a"), node("b", gfd=False), {"metadata": {"name": "cpu"}}]) == ("b",)

    @pytest.mark.parametrize(
        ("product", "model"),
        [
            ("NVIDIA-A100-SXM4-80GB", "A100-80GB"), ("NVIDIA-H100-80GB-HBM3", "H100-80GB"), ("Tesla-T4", "T4"),
            ("NVIDIA-GeForce-RTX-4090", "GeForce-RTX-4090"), ("NVIDIA-A100-PCIE-40GB", "A100-40GB"),
        ],
    )  # fmt: skip
    def test_products_have_short_names(self, product: str, model: str) -> None:
        assert model_of(product) == model

    @pytest.mark.parametrize(("text", "gib"), [("1048576Ki", 1.0), ("2Gi", 2.0), ("1073741824", 1.0), ("x", None)])
    def test_quantities(self, text: str, gib: float | None) -> None:
        assert quantity_gib(text) == gib


class TestTheChoice:
    """The node that is taken."""

    def test_goes_by_labels_without_ours(self) -> None:
        assert wanted_labels(spec(apps="x")) == {"apps": "x"}
        nodes = [node("a", apps="y"), node("c", apps="x"), node("b", apps="x")]
        assert dig(choose(nodes, spec(apps="x")), "metadata", "name") == "b"

    def test_prefers_named_nodes_in_their_order_even_without_the_labels(self) -> None:
        nodes = [node("a", apps="x"), node("b"), node("c")]
        assert dig(choose(nodes, spec("c", "b", apps="x")), "metadata", "name") == "c"
        assert dig(choose(nodes, spec("gone", apps="x")), "metadata", "name") == "a"

    def test_skips_what_is_cordoned_down_or_taken(self) -> None:
        taken = claimed(node("c", apps="x"), spec(workspace="other"))
        nodes = [node("a", cordoned=True, apps="x"), node("b", ready=False, apps="x"), taken, node("d", apps="x")]
        assert [why_not(n) for n in nodes] == ["cordoned", "not ready (kubelet stopped)", "taken by ns/other", None]
        assert dig(choose(nodes, spec(apps="x")), "metadata", "name") == "d"


class TestRefusals:
    """What is said when none is."""

    def test_no_node_with_the_labels(self) -> None:
        error = refusal([node("a"), node("b")], spec("z", apps="x"))
        assert error.code is FailureCode.INVALID_REQUEST
        assert error.message == (
            "no node carries the labels apps=x; looked at 2 nodes; of the preferred nodes z there is none"
        )

    def test_all_taken_or_down(self) -> None:
        taken = claimed(node("a", apps="x"), spec(workspace="other"))
        error = refusal([taken, node("b", cordoned=True, apps="x")], spec(apps="x"))
        assert error.code is FailureCode.INSUFFICIENT_CAPACITY
        assert "a is taken by ns/other, b is cordoned" in error.message
        assert error.retry_after == 15

    def test_free_ones_under_other_labels_make_it_no_lack_of_capacity(self) -> None:
        taken = claimed(node("a", apps="x"), spec(workspace="other"))
        error = refusal([taken, node("b", apps="y")], spec(apps="x"))
        assert error.code is FailureCode.INVALID_REQUEST
        assert error.message.endswith("free, but without these labels: b")

    def test_another_size_and_gpus_that_say_nothing(self) -> None:
        assert "none of size dgx: they are of byo-A100-80GB-x4" in refusal([node("a")], spec(size="dgx")).message
        error = refusal([node("a", gfd=False)], spec())
        assert "the GPUs of a are not known" in error.message
        assert "install NVIDIA's GPU Feature Discovery" in error.message


class TestAClaim:
    """What changes on a node, and back."""

    def test_is_undone_to_the_letter(self) -> None:
        before = node("a", apps="x", team="blue")
        wanted = spec(apps="x", team="red")
        after = claimed(before, wanted)
        found = claim_of(after)
        assert found is not None
        assert (found.machine, found.before) == (wanted.name, {"team": "blue"})
        assert dig(after, "metadata", "labels", "team") == "red"
        assert dig(after, "spec", "taints") == [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}]
        back = merged(after, giving_back(after, found))
        assert dig(back, "metadata", "annotations") == {}
        assert back["spec"] == before["spec"]
        assert dig(back, "metadata", "labels") == dig(before, "metadata", "labels")

    def test_leaves_what_others_have_put_there(self) -> None:
        before = node("a")
        before["spec"] = {"taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}]}
        after = claimed(before, spec(apps="x"))
        dig_dict(after, "metadata", "labels")["apps"] = "changed"
        found = claim_of(after)
        assert found is not None
        assert found.taints == ()
        back = merged(after, giving_back(after, found))
        assert back["spec"] == before["spec"]
        assert dig(back, "metadata", "labels", "apps") == "changed"

    def test_needs_the_node_as_it_was_read(self) -> None:
        patch = claiming(node("a"), new_claim(node("a"), spec(), NOW))
        assert dig(patch, "metadata", "resourceVersion") == "7"

    def test_that_cannot_be_read_still_holds(self) -> None:
        odd = node("a")
        dig_dict(odd, "metadata")["annotations"] = {RECORD: "{"}
        assert claim_of(odd) is None
        assert why_not(odd) == "taken, by a record of another kind"


def test_offers_count_free_nodes_and_stay_when_there_are_none() -> None:
    taken = claimed(node("a"), spec())
    assert [(o.instance_type, o.available) for o in offers([taken])] == [(SIZE, 0)]
    nodes = [taken, node("b"), node("c"), node("d", cordoned=True), node("e", gfd=False)]
    (offer,) = offers(nodes)
    assert (offer.available, offer.gpus, offer.gpu_memory_gib, offer.cpu) == (2, 4, 80.0, 64)
