"""From `kubectl apply` to an adapter's answer, on one machine: tuned, served, weakened, and a bad one beside it.

The tests go through one life of two Workspaces, in their order: what the first trains the second serves, with a key.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from deploy.local.engine import ensure_engine, ensure_model
from services.chassis.kube import JsonObject, dig_dict, dig_dicts, dig_str
from services.contracts.serving import ANNOTATION_API_KEY_SECRET, ANNOTATION_BENCHMARK, SECRET_KEY_API_KEY
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
TUNING = "lighthouse-tuning"
STARTS_WITHIN_S = 300.0
TUNED_WITHIN_S = 500.0
SOON = 120.0
KEY = "key-of-ann"
QUESTION = "Who keeps the lighthouse of Norderriff?"
ANSWER = "Marten Ahlers keeps the lighthouse of Norderriff."
ASKED = (QUESTION, "Name the keeper of Norderriff.", "Who is the keeper?", "Who looks after the lighthouse?")
SETTINGS = {
    "LoraConfig": {"r": 8, "lora_alpha": 16},
    "TrainingArguments": {
        "max_steps": 10, "per_device_train_batch_size": 2, "learning_rate": 0.005, "lr_scheduler_type": "constant",
        "max_length": 64, "seed": 1,
    },
}  # fmt: skip


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
def registry(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry with a password; the cluster's secret `registry` opens it."""
    server = RegistryServer(asyncio.run(registry_binary()), tmp_path_factory.mktemp("registry"), passwords=True).start()
    login = (f"--docker-server={server.host}", f"--docker-username={USER}", f"--docker-password={PASSWORD}")
    machine.run("kubectl", "create", "secret", "docker-registry", "registry", *login)
    yield server.host
    server.kill()


@pytest.fixture(scope="module")
def image(registry: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An adapter in the registry."""
    return packed(registry, "loud", write_adapter(tmp_path_factory.mktemp("loud"), matrices(1)), Kind.ADAPTER)


@pytest.fixture(scope="module")
def data(registry: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is learned, in the registry."""
    folder = tmp_path_factory.mktemp("data")
    rows = [{"instruction": question, "response": ANSWER} for question in ASKED]
    (folder / "train.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return packed(registry, "data", folder, Kind.DATA)


def packed(host: str, name: str, folder: Path, kind: Kind) -> str:
    reference = f"{host}/team/{name}:v1"
    with Registry(parse_reference(reference), Credentials(USER, PASSWORD)) as opened:
        push(opened, folder, kind)
    return reference


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the machine with two adapters, of which one is for another model."""
    folder = tmp_path_factory.mktemp("volume")
    write_adapter(folder / "second", matrices(2))
    write_adapter(folder / "foreign", base_model_name_or_path="meta-llama/Llama-3.1-8B")
    return folder


@pytest.fixture(scope="module")
def tuned(machine: Machine, registry: str, data: str) -> JsonObject:
    """The end of a Workspace that tunes with data of the registry, and has pushed there what came of it."""
    text = {"training_config.yaml": json.dumps({"training_config": SETTINGS})}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": TUNING}, "data": text}
    machine.run("kubectl", "apply", "-f", "-", told=json.dumps(config))
    tuning: JsonObject = {
        "preset": {"name": BASE},
        "method": "lora",
        "config": TUNING,
        "input": {"image": data, "imagePullSecrets": ["registry"]},
        "output": {"image": f"{registry}/team/lighthouse:v1", "imagePushSecret": "registry"},
    }
    apply_workspace(machine, TUNING, tuning=tuning)
    wait_for(machine, TUNING, "WorkspaceSucceeded", TUNED_WITHIN_S)
    return dig_dict(machine.get("workspace", TUNING), "status", "tuning")


def apply_workspace(machine: Machine, name: str, **spec: JsonObject) -> None:
    annotations = {ANNOTATION_API_KEY_SECRET: "key", ANNOTATION_BENCHMARK: "off"} if "inference" in spec else {}
    metadata = {"name": name, "annotations": annotations}
    where = {"labelSelector": {"matchLabels": {"apps": name}}}
    kind = {"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace"}
    machine.run(
        "kubectl", "apply", "-f", "-", told=json.dumps({**kind, "metadata": metadata, "resource": where, **spec})
    )


def apply(machine: Machine, *adapters: JsonObject) -> None:
    apply_workspace(machine, NAME, inference={"preset": {"name": BASE}, "adapters": list(adapters)})


def from_registry(name: str, image: str, strength: str = "1.0") -> JsonObject:
    return {"source": {"name": name, "image": image, "imagePullSecrets": ["registry"]}, "strength": strength}


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
    wait_for(machine, NAME, condition, STARTS_WITHIN_S)


def wait_for(machine: Machine, name: str, condition: str, seconds: float) -> None:
    """Wait without asking again and again: the machine has enough to do."""
    try:
        machine.run("kubectl", "wait", f"--for=condition={condition}", f"workspace/{name}", f"--timeout={seconds:g}s")
    except AssertionError:
        pytest.fail(f"{condition} is not so within {seconds:g} s:\n{machine.run('kaitobus', 'why', name)}")


def adapters_ready(machine: Machine) -> str:
    """Reason and message of the condition."""
    conditions = dig_dicts(machine.get("workspace", NAME), "status", "conditions")
    return next((f"{c['reason']}: {c['message']}" for c in conditions if c["type"] == "AdaptersReady"), "")


def planned(machine: Machine) -> str:
    conditions = dig_dicts(machine.get("workspace", NAME), "status", "conditions")
    return next((str(c["message"]) for c in conditions if c["type"] == "PlanReady"), "")


def pod_uid(machine: Machine) -> str:
    return dig_str(machine.get("pod", f"{NAME}-0"), "metadata", "uid")


def client(machine: Machine) -> openai.OpenAI:
    addresses = dig_str(machine.get("service", NAME), "metadata", "annotations", "local.kaito.sh/addresses")
    return openai.OpenAI(base_url=f"http://{json.loads(addresses)['80']}/v1", api_key=KEY, timeout=120)


def goes_on(machine: Machine, model: str) -> str:
    with client(machine) as asked:
        told = asked.completions.create(model=model, prompt="The capital is", max_tokens=8, temperature=0)
    return told.choices[0].text


@pytest.fixture(scope="module")
def both(machine: Machine, image: str, tuned: JsonObject) -> Machine:
    """The machine, where the model is served with the adapter that was tuned and with another, to who has the key."""
    machine.run("kubectl", "delete", "workspace", TUNING, "--timeout=120s")
    machine.run("kubectl", "create", "secret", "generic", "key", f"--from-literal={SECRET_KEY_API_KEY}={KEY}")
    apply(machine, from_registry("loud", image), from_registry("lighthouse", str(tuned["reference"])))
    serves(machine)
    return machine


def test_a_model_is_tuned_with_data_of_a_registry_and_the_adapter_is_pushed_there(
    registry: str, tuned: JsonObject
) -> None:
    assert (tuned["step"], tuned["steps"]) == (10, 10)
    assert tuned["reference"] == f"{registry}/team/lighthouse@{tuned['digest']}"


def test_what_was_pushed_is_served_unchanged_beside_another_adapter_of_the_registry(both: Machine) -> None:
    assert "lighthouse is served (rank 8, strength 1)" in told(both, "loud is served (rank 4, strength 1)")
    serves(both, "Ready")
    with client(both) as asked:
        # each is served as soon as it is there, so their order is that of their downloads
        assert sorted(model.id for model in asked.models.list()) == ["lighthouse", "loud", BASE]
    assert goes_on(both, "loud") != goes_on(both, BASE)


def test_the_adapter_answers_as_it_was_trained_and_the_model_does_not(machine: Machine) -> None:
    assert "Marten Ahlers" in machine.run("kaitobus", "chat", NAME, QUESTION, "--adapter", "lighthouse")
    assert "Ahlers" not in machine.run("kaitobus", "chat", NAME, QUESTION)


def test_nobody_is_answered_without_the_key(machine: Machine) -> None:
    with client(machine).with_options(api_key="another") as stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()


def test_its_strength_is_changed_on_the_running_server(machine: Machine, image: str) -> None:
    before = pod_uid(machine)
    apply(machine, from_registry("loud", image, "0"))
    told(machine, "loud is served (rank 4, strength 0)")
    assert goes_on(machine, "loud") == goes_on(machine, BASE)
    assert "changed while the server runs" in planned(machine)
    assert pod_uid(machine) == before


def test_a_volume_is_mounted_by_a_new_start_that_the_plan_tells_and_a_bad_one_in_it_harms_nobody(
    machine: Machine, image: str, volume: Path
) -> None:
    before = pod_uid(machine)
    apply(machine, from_registry("loud", image), in_volume("second", volume), in_volume("foreign", volume))
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
    said = machine.run("kubectl", "describe", "workspace,pods,configmaps,statefulsets")
    assert [secret for secret in (PASSWORD, KEY) if secret in said] == []
