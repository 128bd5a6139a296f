"""The custom resource definition on a real API server."""

import json
import re
import secrets
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import BaseModel

from services.contracts.conditions import ConditionType
from services.contracts.status import WorkspaceStatus
from tests.kubernetes.full_status import condition, full_plan, full_status
from tests.plane import Kubectl

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
SOURCES = sorted((ROOT / "tests" / "data" / "source-examples").glob("*.yaml"))
NAME = "workspace-phi-3-mini-adapter"
"""The Workspace of the first of them."""


@pytest_asyncio.fixture(loop_scope="session")
async def installed(kubectl: Kubectl, workspace_crd: None) -> Kubectl:
    """Kubectl on a server that has the definition, applied as the documentation says."""
    return kubectl


@pytest_asyncio.fixture(loop_scope="session")
async def namespace(installed: Kubectl, request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own."""
    told = re.sub(r"[^a-z0-9]+", "-", str(request.node.name).lower()).strip("-")[-45:].strip("-")
    name = f"crd-{told}-{secrets.token_hex(3)}"
    await installed("create", "namespace", name)
    return name


def left_out(model: BaseModel, path: str = "") -> list[str]:
    """The fields, at any depth, that were not given a value."""
    found = [f"{path}.{name}" for name in type(model).model_fields.keys() - model.model_fields_set]
    for name in model.model_fields_set:
        value = getattr(model, name)
        for inner in value if isinstance(value, tuple) else (value,):
            found += left_out(inner, f"{path}.{name}") if isinstance(inner, BaseModel) else []
    return found


async def write_status(kubectl: Kubectl, namespace: str, name: str, status: dict[str, object]) -> None:
    patch = json.dumps({"status": status})
    await kubectl("-n", namespace, "patch", "wk", name, "--subresource=status", "--type=merge", "-p", patch)


async def test_it_is_established_without_a_complaint(installed: Kubectl) -> None:
    found = json.loads(await installed("get", "crd", "workspaces.kaito.sh", "-o", "json"))
    conditions = {c["type"]: c["status"] for c in found["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions["NamesAccepted"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


@pytest.mark.parametrize("manifest", [*SOURCES, *EXAMPLES], ids=lambda path: path.stem)
async def test_a_manifest_written_for_kaito_applies_unchanged_and_so_do_the_examples(
    installed: Kubectl, namespace: str, manifest: Path
) -> None:
    assert "created" in await installed("-n", namespace, "apply", "-f", str(manifest))
    assert "unchanged" in await installed("-n", namespace, "apply", "-f", str(manifest))


async def test_what_is_left_out_gets_its_default_and_no_machine_size(installed: Kubectl, namespace: str) -> None:
    manifest = {
        "apiVersion": "kaito.sh/v1alpha1",
        "kind": "Workspace",
        "metadata": {"name": "small"},
        "resource": {"labelSelector": {"matchLabels": {"apps": "small"}}},
        "inference": {"preset": {"name": "m"}, "adapters": [{"source": {"name": "a", "image": "i"}}]},
    }
    await installed("-n", namespace, "apply", "-f", "-", stdin=json.dumps(manifest))
    found = json.loads(await installed("-n", namespace, "get", "wk", "small", "-o", "json"))
    assert found["resource"]["count"] == 1
    assert "instanceType" not in found["resource"]
    assert found["inference"]["preset"]["accessMode"] == "public"
    assert found["inference"]["adapters"][0]["strength"] == "1.0"


async def test_a_pod_template_is_kept_whole(installed: Kubectl, namespace: str) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "x", "image": "y", "new": [1]}]}}
    manifest = {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": "own"},
        "resource": {"labelSelector": {"matchLabels": {"apps": "own"}}},
        "inference": {"template": template},
    }
    await installed("-n", namespace, "apply", "-f", "-", stdin=json.dumps(manifest))
    found = json.loads(await installed("-n", namespace, "get", "wk", "own", "-o", "json"))
    assert found["inference"]["template"] == template


async def test_both_versions_read_the_same_object(installed: Kubectl, namespace: str) -> None:
    await installed("-n", namespace, "apply", "-f", str(SOURCES[0]))
    read = {}
    for version in ("v1alpha1", "v1beta1"):
        listed = json.loads(await installed("-n", namespace, "get", f"workspaces.{version}.kaito.sh", "-o", "json"))
        (read[version],) = listed["items"]
        assert read[version].pop("apiVersion") == f"kaito.sh/{version}"
        read[version]["metadata"].pop("managedFields", None)
    assert read["v1alpha1"] == read["v1beta1"]


async def test_a_full_status_comes_back_without_a_loss(installed: Kubectl, namespace: str) -> None:
    assert left_out(full_status()) == []
    written = full_status().to_dict()
    await installed("-n", namespace, "apply", "-f", str(SOURCES[0]))
    await write_status(installed, namespace, NAME, written)
    found = json.loads(await installed("-n", namespace, "get", "wk", NAME, "-o", "json"))
    assert found["status"] == written
    assert WorkspaceStatus.model_validate(found["status"]) == full_status()


async def test_what_a_newer_scheduler_adds_to_the_plan_is_kept(installed: Kubectl, namespace: str) -> None:
    plan = full_plan().to_dict() | {"addedLater": {"a": [1, "b"]}}
    await installed("-n", namespace, "apply", "-f", str(SOURCES[0]))
    await write_status(installed, namespace, NAME, {"plan": plan})
    found = json.loads(await installed("-n", namespace, "get", "wk", NAME, "-o", "json"))
    assert found["status"]["plan"] == plan


async def test_a_condition_of_kaito_that_we_do_not_have_is_no_obstacle(installed: Kubectl, namespace: str) -> None:
    done = condition(ConditionType.READY).to_dict() | {"type": "ModelMirrorReady"}
    await installed("-n", namespace, "apply", "-f", str(SOURCES[0]))
    await write_status(installed, namespace, NAME, {"conditions": [done]})
    await installed("-n", namespace, "label", "wk", NAME, "a=b")


async def test_explain_tells_what_a_field_is_for(installed: Kubectl) -> None:
    told = await installed("explain", "workspace.resource.instanceType")
    assert "The cloud's name of a machine size." in " ".join(told.split())
    assert "Where the model answers" in " ".join((await installed("explain", "wk.status.endpoint")).split())


async def test_get_prints_the_columns(installed: Kubectl, namespace: str) -> None:
    await installed("-n", namespace, "apply", "-f", str(SOURCES[0]))
    await write_status(installed, namespace, NAME, full_status().to_dict())
    header, row = (await installed("-n", namespace, "get", "wks")).splitlines()
    assert header.split() == ["NAME", "INSTANCE", "RESOURCEREADY", "INFERENCEREADY", "WORKSPACEREADY", "STATE", "AGE"]
    assert "Standard_NC24ads_A100_v4 (simulated)" in row
    assert row.split()[3:7] == ["True", "True", "True", "Simulated"]


async def test_get_wide_adds_job_nodes_cost_and_reason(installed: Kubectl, namespace: str) -> None:
    await installed("-n", namespace, "apply", "-f", str(SOURCES[0]))
    await write_status(installed, namespace, NAME, full_status().to_dict())
    header, row = (await installed("-n", namespace, "get", "workspace", "-o", "wide")).splitlines()
    assert header.split()[6:] == [
        "JOBSTARTED", "WORKSPACESUCCEEDED", "NODES", "STEP", "LOSS", "COST/H", "REASON", "AGE",
    ]  # fmt: skip
    assert row.split()[7:14] == ["True", "True", "2", "5", "0.5", "3.06", "Because"]


async def test_it_is_in_its_category(installed: Kubectl) -> None:
    assert "workspaces.kaito.sh" in await installed("api-resources", "--categories=workspace", "-o", "name")


async def test_two_writers_keep_their_conditions(installed: Kubectl, namespace: str) -> None:
    await installed("-n", namespace, "apply", "-f", str(SOURCES[0]))
    for writer, type_ in (("one", ConditionType.READY), ("two", ConditionType.JOB_STARTED)):
        mine = {
            "apiVersion": "kaito.sh/v1beta1",
            "kind": "Workspace",
            "metadata": {"name": NAME},
            "status": {"conditions": [condition(type_).to_dict()]},
        }
        apply = ("apply", "--server-side", "--subresource=status", f"--field-manager={writer}", "--validate=false")
        await installed("-n", namespace, *apply, "-f", "-", stdin=json.dumps(mine))
    types = await installed("-n", namespace, "get", "wk", NAME, "-o", "jsonpath={.status.conditions[*].type}")
    assert set(types.split()) == {"Ready", "JobStarted"}
