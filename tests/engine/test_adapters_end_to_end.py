"""From `kubectl apply` to an adapter's answer, on one machine: added, weakened, and a bad one, without a new start.

The tests go through one life of a Workspace, in their order.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from deploy.local.engine import ensure_engine, ensure_model
from services.chassis.kube import JsonObject, dig_dicts, dig_str
from services.inference.oci.client import Registry
from services.inference.oci.credentials import Credentials
from services.inference.oci.names import Kind
from services.inference.oci.push import push
from services.inference.oci.reference import parse_reference
from tests.engine.machine import Machine, execute, until
from tests.lora.files import matrices, write_adapter
from tests.registry.binary import registry_binary
from tests.registry.server import PASSWORD, USER, RegistryServer

pytestmark = pytest.mark.timeout(900)

NAME = "adapted"
BASE = "smollm2-135m-instruct"
STARTS_WITHIN_S = 300.0
SOON = 120.0


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    ensure_engine(print)
    ensure_model(print)
    folder = tmp_path_factory.mktemp("machine") / "state"
    try:
        yield Machine(folder, execute(folder, "kaitobus", "up", "--no-example"))
    finally:
        execute(folder, "kaitobus", "down")


@pytest.fixture(scope="module")
def image(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An adapter in a registry with a password, and a pull secret for it."""
    folder = tmp_path_factory.mktemp("registry")
    server = RegistryServer(asyncio.run(registry_binary()), folder, passwords=True).start()
    reference = f"{server.host}/team/loud:v1"
    with Registry(parse_reference(reference), Credentials(USER, PASSWORD)) as registry:
        push(registry, write_adapter(folder / "loud", matrices(1)), Kind.ADAPTER)
    login = (f"--docker-server={server.host}", f"--docker-username={USER}", f"--docker-password={PASSWORD}")
    machine.run("kubectl", "create", "secret", "docker-registry", "registry", *login)
    yield reference
    server.kill()


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the machine with two adapters, of which one is for another model."""
    folder = tmp_path_factory.mktemp("volume")
    write_adapter(folder / "second", matrices(2))
    write_adapter(folder / "foreign", base_model_name_or_path="meta-llama/Llama-3.1-8B")
    return folder


def apply(machine: Machine, *adapters: JsonObject) -> None:
    manifest = {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": NAME, "annotations": {"kaito.sh/benchmark": "off"}},
        "resource": {"labelSelector": {"matchLabels": {"apps": NAME}}},
        "inference": {"preset": {"name": BASE}, "adapters": list(adapters)},
    }
    machine.run("kubectl", "apply", "-f", "-", told=json.dumps(manifest))


def loud(image: str, strength: str = "1.0") -> JsonObject:
    return {"source": {"name": "loud", "image": image, "imagePullSecrets": ["registry"]}, "strength": strength}


def in_volume(name: str, folder: Path) -> JsonObject:
    return {"source": {"name": name, "volumeSource": {"hostPath": {"path": str(folder)}}}}


def told(machine: Machine, words: str) -> str:
    """Wait until the condition on adapters says so; what it says then."""
    found = [""]

    def says() -> bool:
        found[0] = adapters_ready(machine)
        return words in found[0]

    try:
        until(says, SOON, words)
    except AssertionError:
        pytest.fail(f"{words!r} is not said, but: {found[0]}\n{machine.run('kaitobus', 'why', NAME)}")
    return found[0]


def serves(machine: Machine, condition: str = "InferenceReady") -> None:
    """Wait for a condition without asking again and again: the machine has enough to do."""
    machine.run(
        "kubectl", "wait", f"--for=condition={condition}", f"workspace/{NAME}", f"--timeout={STARTS_WITHIN_S:g}s"
    )


def adapters_ready(machine: Machine) -> str:
    """Reason and message of the condition."""
    conditions = dig_dicts(machine.get("workspace", NAME), "status", "conditions")
    return next((f"{c['reason']}: {c['message']}" for c in conditions if c["type"] == "AdaptersReady"), "")


def planned(machine: Machine) -> str:
    conditions = dig_dicts(machine.get("workspace", NAME), "status", "conditions")
    return next((str(c["message"]) for c in conditions if c["type"] == "PlanReady"), "")


def pod_uid(machine: Machine) -> str:
    return dig_str(machine.get("pod", f"{NAME}-0"), "metadata", "uid")


def goes_on(machine: Machine, model: str) -> str:
    addresses = dig_str(machine.get("service", NAME), "metadata", "annotations", "local.kaito.sh/addresses")
    with openai.OpenAI(base_url=f"http://{json.loads(addresses)['80']}/v1", api_key="none", timeout=120) as client:
        return (
            client.completions.create(model=model, prompt="The capital is", max_tokens=8, temperature=0).choices[0].text
        )


def test_an_adapter_from_a_registry_is_served_beside_the_model(machine: Machine, image: str) -> None:
    apply(machine, loud(image))
    serves(machine)
    told(machine, "loud is served (rank 4, strength 1)")
    serves(machine, "Ready")
    assert goes_on(machine, "loud") != goes_on(machine, BASE)


def test_its_strength_is_changed_on_the_running_server(machine: Machine, image: str) -> None:
    before = pod_uid(machine)
    apply(machine, loud(image, "0"))
    told(machine, "loud is served (rank 4, strength 0)")
    assert goes_on(machine, "loud") == goes_on(machine, BASE)
    assert "changed while the server runs" in planned(machine)
    assert pod_uid(machine) == before


def test_a_volume_is_mounted_by_a_new_start_that_the_plan_tells_and_a_bad_one_in_it_harms_nobody(
    machine: Machine, image: str, volume: Path
) -> None:
    before = pod_uid(machine)
    apply(machine, loud(image), in_volume("second", volume), in_volume("foreign", volume))
    machine.run("kubectl", "wait", "--for=condition=InferenceReady=false", f"workspace/{NAME}", "--timeout=120s")
    assert "starts anew" in planned(machine)
    serves(machine)
    words = told(machine, "second is served")
    assert words.startswith("AdapterNotLoaded: foreign is not loaded: It was made for meta-llama/Llama-3.1-8B")
    assert "loud is served" in words
    assert pod_uid(machine) != before
    assert len({goes_on(machine, name) for name in (BASE, "loud", "second")}) == 3
    assert "foreign is not loaded" in machine.run("kaitobus", "why", NAME)


def test_the_bad_one_and_the_first_are_taken_away_and_the_pod_stays(machine: Machine, volume: Path) -> None:
    before = pod_uid(machine)
    apply(machine, in_volume("second", volume))
    told(machine, "AdaptersReady: second is served")
    with pytest.raises(openai.NotFoundError):
        goes_on(machine, "loud")
    assert pod_uid(machine) == before
    assert PASSWORD not in machine.run("kubectl", "describe", "workspace,pods,configmaps,statefulsets")
