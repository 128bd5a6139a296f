"""Adapters in plans: who gets room for them, and which change starts the server anew."""

from __future__ import annotations

import pytest

from services.contracts.conditions import Reason
from services.contracts.messages import WorkspaceState
from services.contracts.plan import Plan
from services.contracts.workspace import Adapter, DataSource
from tests.unit.planning import CLOUD, decided, planned, workspace

CLAIM = {"persistentVolumeClaim": {"claimName": "adapters"}}
LORA = ("enable-lora", "max-cpu-loras", "max-lora-rank", "max-loras")


def adapter(name: str = "a", strength: str | None = "1.0", **source: object) -> Adapter:
    return Adapter(
        source=DataSource.model_validate({"name": name, "image": f"r.io/{name}:1"} | source), strength=strength
    )


def having(*adapters: Adapter, config: str | None = None) -> WorkspaceState:
    return workspace(adapters=adapters or None, config=config)


def flags(plan: Plan) -> dict[str, str]:
    assert plan.engine is not None
    return {name: value for name, value in plan.engine.flags.items() if name in LORA}


def why(plan: Plan) -> str:
    assert plan.lora is not None
    return plan.lora.why


def test_without_adapters_there_is_no_room_for_any() -> None:
    plan = planned(having())
    assert plan.lora is None
    assert flags(plan) == {}


def test_with_one_there_is_room_for_several() -> None:
    plan = planned(having(adapter(strength=None)))
    assert flags(plan) == {"enable-lora": "", "max-loras": "4", "max-lora-rank": "32", "max-cpu-loras": "16"}
    assert plan.lora is not None
    (found,) = plan.lora.adapters
    assert (found.name, found.strength, found.image) == ("a", 1.0, "r.io/a:1")


def test_the_user_may_ask_for_other_room_and_even_before_the_first_adapter() -> None:
    plan = planned(having(config="vllm: {enable-lora: true, max-loras: 32, max-lora-rank: 64}"))
    assert flags(plan) == {"enable-lora": "", "max-loras": "32", "max-lora-rank": "64", "max-cpu-loras": "32"}
    added = planned(
        having(adapter(), config="vllm: {enable-lora: true, max-loras: 32, max-lora-rank: 64}"), previous=plan
    )
    assert flags(added) == flags(plan)
    assert why(added) == "The adapters are changed while the server runs."


def test_room_for_adapters_is_part_of_the_memory() -> None:
    with_room, without = planned(having(adapter())).prediction, planned(having()).prediction
    assert with_room is not None
    assert without is not None
    assert with_room.weights_gib > without.weights_gib


@pytest.mark.parametrize(
    "wanted",
    [
        (),
        (adapter(), adapter("b")),
        (adapter(strength="0.5"),),
        (adapter(image="r.io/a:2"),),
        (adapter("b", image=None, urls=("https://e.org/adapter.tar",)),),
        tuple(adapter(name) for name in "abcdefghij"),
    ],
)
def test_all_else_of_a_plan_stands_when_adapters_come_change_and_go(wanted: tuple[Adapter, ...]) -> None:
    """Though there is a cheaper offer by now: to move would start the server anew."""
    before = planned(having(adapter()))
    cheaper = CLOUD.model_copy(
        update={"offers": tuple(o.model_copy(update={"price_per_hour": 0.01}) for o in CLOUD.offers)}
    )
    state = having(*wanted).model_copy(update={"generation": 7})
    after = planned(state, (cheaper,), before)
    assert after.revision == before.revision + 1
    unchanged = {"revision": after.revision, "lora": after.lora}
    assert after == before.model_copy(update=unchanged)
    assert why(after) == "The adapters are changed while the server runs."
    assert planned(state, (cheaper,), after) == after


def test_the_first_one_makes_a_new_plan_and_says_that_the_server_starts_anew() -> None:
    after = planned(having(adapter()), previous=planned(having()))
    assert "For the first adapter the server starts anew" in why(after)
    assert flags(after)
    assert "For the first adapter" not in why(planned(having(adapter())))


def test_a_volume_or_a_secret_that_is_not_mounted_yet_starts_the_server_anew() -> None:
    before = planned(having(adapter()))
    secret = planned(having(adapter(), adapter("b", image_pull_secrets=("reg",))), previous=before)
    assert why(secret).endswith("because of its mounts: secret reg comes in.")
    volume = planned(having(adapter(), adapter("c", image=None, volume_source=CLAIM)), previous=secret)
    assert why(volume).endswith("because of its mounts: the volume of adapter c comes in.")
    gone = planned(having(adapter()), previous=volume)
    assert why(gone).endswith("because of its mounts: the volume of adapter c goes.")


def test_a_secret_stays_mounted_after_its_adapter_has_gone() -> None:
    before = planned(having(adapter(), adapter("b", image_pull_secrets=("reg",))))
    after = planned(having(adapter()), previous=before)
    assert after.lora is not None
    assert after.lora.pull_secrets == ("reg",)
    assert why(after) == "The adapters are changed while the server runs."


@pytest.mark.parametrize("previous", [None, planned(having(adapter()))], ids=["first", "later"])
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (adapter("llama-3.1-8b-instruct"), "has the name of the model itself"),
        (adapter(image="r.io/a b"), "is no reference to an image"),
    ],
)
def test_what_cannot_be_planned_is_told_and_the_plan_of_before_goes_on(
    previous: Plan | None, bad: Adapter, words: str
) -> None:
    found = decided(having(bad), previous=previous)
    assert found.condition.reason == Reason.INVALID_SPEC
    assert words in found.condition.message
    assert found.plan == previous


def test_the_condition_tells_how_the_change_gets_there() -> None:
    assert "Adapters come and go while the server runs." in decided(having(adapter())).condition.message
