"""A model that was packed into a registry with a password is served from there, end to end.

The tests go through one life of a Workspace, in their order.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.engine import ensure_engine, ensure_model
from services.chassis.kube import dig_str
from tests.engine.machine import Machine, execute, until
from tests.registry.binary import registry_binary
from tests.registry.server import PASSWORD, USER, RegistryServer

pytestmark = pytest.mark.timeout(900)

NAME = "from-registry"
STARTS_WITHIN_S = 240.0


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    ensure_engine(print)
    folder = tmp_path_factory.mktemp("machine") / "state"
    try:
        yield Machine(folder, execute(folder, "kaitobus", "up", "--no-example"))
    finally:
        execute(folder, "kaitobus", "down")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    server = RegistryServer(asyncio.run(registry_binary()), tmp_path_factory.mktemp("registry"), passwords=True)
    yield server.start()
    server.kill()


@pytest.fixture(scope="module")
def packed(machine: Machine, registry: RegistryServer) -> str:
    """The reference that `kaitobus pack` printed."""
    model = str(ensure_model(print))
    login = ("--username", USER, "--password-stdin", "-o", "json")
    said = json.loads(
        machine.run("kaitobus", "pack", model, f"{registry.host}/team/smollm2:v1", *login, told=f"{PASSWORD}\n")
    )
    return str(said["reference"])


def workspace(image: str, secrets: list[str]) -> str:
    options = {"image": image, "imagePullSecrets": secrets}
    preset = {"name": "smollm2-135m-instruct", "presetOptions": options}
    return json.dumps(
        {
            "apiVersion": "kaito.sh/v1beta1",
            "kind": "Workspace",
            "metadata": {"name": NAME, "annotations": {"kaito.sh/benchmark": "off"}},
            "resource": {"labelSelector": {"matchLabels": {"apps": NAME}}},
            "inference": {"preset": preset},
        }
    )


def why(machine: Machine) -> str:
    return machine.run("kaitobus", "why", NAME, "-o", "json")


def test_without_the_password_it_is_said_what_is_missing(machine: Machine, packed: str) -> None:
    machine.run("kubectl", "apply", "-f", "-", told=workspace(packed, []))
    until(lambda: "refuses callers without credentials" in why(machine), STARTS_WITHIN_S, "the reason")
    assert "ModelNotFetched" in why(machine)
    assert "Name a pull secret for it." in why(machine)


def test_a_secret_that_is_not_there_is_named(machine: Machine, packed: str) -> None:
    machine.run("kubectl", "apply", "-f", "-", told=workspace(packed, ["registry"]))
    until(lambda: "Secret registry, named by presetOptions.imagePullSecrets" in why(machine), 30, "the reason")


def test_with_the_secret_it_is_served_from_the_registry(
    machine: Machine, registry: RegistryServer, packed: str
) -> None:
    login = (f"--docker-server={registry.host}", f"--docker-username={USER}", f"--docker-password={PASSWORD}")
    machine.run("kubectl", "create", "secret", "docker-registry", "registry", *login)
    until(lambda: state(machine) == "Ready", STARTS_WITHIN_S, "the model")
    assert "Paris" in machine.run("kaitobus", "chat", NAME, "What is the capital of France?")
    assert packed in machine.run("kubectl", "logs", f"{NAME}-0", "-c", "weights")
    served = machine.run("kubectl", "get", "statefulset", NAME, "-o", "jsonpath={..containers[0].args}")
    assert "--model=/workspace/weights/model" in served


def state(machine: Machine) -> str:
    return dig_str(machine.get("workspace", NAME), "status", "state")


def test_nobody_can_read_the_password_in_what_is_told(machine: Machine) -> None:
    told = machine.run("kubectl", "describe", "workspace,pods,statefulset") + why(machine)
    told += machine.run("kubectl", "logs", f"{NAME}-0", "-c", "weights")
    assert PASSWORD not in told


def test_no_file_of_the_secret_is_left(machine: Machine) -> None:
    machine.run("kubectl", "delete", "workspace", NAME, "--timeout=120s")
    left = [path for path in Path(machine.folder).rglob(".dockerconfigjson") if path.is_file()]
    assert left == []
