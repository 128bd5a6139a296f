"""Where what an engine compiles is kept: each start after the first is a warm one, and nobody runs another's code."""

from __future__ import annotations

import pytest

from services.chassis.kube import JsonObject, dig_dict, dig_dicts
from services.contracts.plan import Runtime
from services.contracts.serving import Claim, Serving, serving_of
from services.deployer.manifests import Images, render
from tests.unit.samples import plan, plan_state

HERE = "/workspace/compiled"
CLAIM = "kaito.sh/compile-cache"


def kept(images: Images, serving: Serving | None = None, *, name: str = "w") -> tuple[JsonObject, JsonObject, str]:
    """Volume, mount, and where the engine is told to keep it."""
    state = plan_state(plan().model_copy(update={"serving": serving or Serving()}))
    *_, workload = render(state.model_copy(update={"name": name}), images)
    spec = dig_dict(workload, "spec", "template", "spec")
    (container,) = dig_dicts(spec, "containers")
    (volume,) = [one for one in dig_dicts(spec, "volumes") if one["name"] == "compiled"]
    (mount,) = [one for one in dig_dicts(container, "volumeMounts") if one["name"] == "compiled"]
    (told,) = [one for one in dig_dicts(container, "env") if one["name"] == "VLLM_CACHE_ROOT"]
    return volume, mount, str(told["value"])


def test_it_outlives_the_container_where_nothing_else_is_said() -> None:
    mount = {"name": "compiled", "mountPath": HERE}
    assert kept(Images("i")) == ({"name": "compiled", "emptyDir": {}}, mount, HERE)


def test_on_a_node_each_workspace_has_a_folder_of_its_own_and_sees_no_other() -> None:
    for name in ("w", "x"):
        volume, mount, _ = kept(Images("i", compiled="/var/cache/compiled"), name=name)
        assert volume["hostPath"] == {"path": f"/var/cache/compiled/team/{name}", "type": "DirectoryOrCreate"}
        assert mount == {"name": "compiled", "mountPath": HERE}


@pytest.mark.parametrize(
    ("annotation", "folder"),
    [("pvc://shared", ""), ("pvc://shared/", ""), ("pvc://shared/team/phi", "team/phi/")],
)
def test_a_claim_that_the_workspace_names_comes_first_and_keeps_kinds_of_nodes_apart(
    annotation: str, folder: str
) -> None:
    volume, mount, told = kept(Images("i", compiled="/var/cache/compiled"), serving_of({CLAIM: annotation}))
    assert volume == {"name": "compiled", "persistentVolumeClaim": {"claimName": "shared"}}
    assert mount == {"name": "compiled", "mountPath": HERE, "subPath": folder + plan().instance_type}
    assert told == HERE


def test_the_runtime_that_compiles_nothing_has_no_such_volume() -> None:
    made = plan()
    assert made.engine is not None
    engine = made.engine.model_copy(update={"runtime": Runtime.TRANSFORMERS})
    made = made.model_copy(update={"engine": engine, "serving": Serving(compile_cache=Claim(name="c"))})
    *_, workload = render(plan_state(made), Images("i", compiled="/c"))
    assert "compiled" not in str(workload)
