"""Adapters come, change and go on a server that runs, as its clients see it: real vLLM, the official OpenAI client.

The tests share one server and go through one life of it, in their order. Outputs are compared to the letter: the
model answers greedily, and adapters have weights of chance, so each one goes on with the text in its own way.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import openai
import pytest
from openai import OpenAI

from deploy.local.engine import EngineEnv
from services.inference.oci.client import Registry
from services.inference.oci.credentials import Credentials
from services.inference.oci.names import Kind
from services.inference.oci.push import push
from services.inference.oci.reference import parse_reference
from tests.engine.conftest import API_KEY, CPU_FLAGS, FLAGS, HF_ID, SERVED_NAME, Server, started
from tests.engine.machine import until
from tests.lora.files import matrices, write_adapter
from tests.registry.binary import registry_binary
from tests.registry.server import PASSWORD, USER, RegistryServer, docker_config

pytestmark = pytest.mark.timeout(900)

LORA_FLAGS = ["--enable-lora", "--max-loras=2", "--max-lora-rank=8", "--max-cpu-loras=4"]
SOON = 60.0
PROMPT = "The capital of France is"


class Adapters:
    """What a pod would have: the list, mounts, and adapters to name in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.list = folder / "list" / "adapters.json"
        self.volume = folder / "volume"
        self.secret = folder / "secret"
        for made in (self.list.parent, self.volume, self.secret):
            made.mkdir(parents=True)

    @property
    def environment(self) -> dict[str, str]:
        mounts = {"secrets": {"registry": str(self.secret)}, "volumes": {"v": str(self.volume)}}
        return {
            "KAITOBUS_ADAPTERS": str(self.list),
            "KAITOBUS_ADAPTERS_DIR": str(self.folder / "home"),
            "KAITOBUS_ADAPTER_MOUNTS": json.dumps(mounts),
        }

    def want(self, *adapters: Mapping[str, object]) -> None:
        """Write the list in one step, as a kubelet does."""
        draft = self.list.with_suffix(".draft")
        draft.write_text(json.dumps({"base": HF_ID, "adapters": adapters}))
        draft.replace(self.list)


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> Adapters:
    return Adapters(tmp_path_factory.mktemp("adapters"))


@pytest.fixture(scope="module")
def image(adapters: Adapters, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An adapter in a registry with a password."""
    folder = tmp_path_factory.mktemp("registry")
    server = RegistryServer(asyncio.run(registry_binary()), folder, passwords=True).start()
    reference = f"{server.host}/team/loud:v1"
    with Registry(parse_reference(reference), Credentials(USER, PASSWORD)) as registry:
        push(registry, write_adapter(folder / "loud", matrices(1)), Kind.ADAPTER)
    (adapters.secret / ".dockerconfigjson").write_text(docker_config(server.host))
    yield reference
    server.kill()


@pytest.fixture(scope="module")
def lora_server(engine: EngineEnv, model: Path, adapters: Adapters, image: str) -> Iterator[Server]:
    """A server that is started with one adapter in its list."""
    adapters.want(loud(image))
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "KAITOBUS_MODEL_DIR": str(model.parent), **adapters.environment}
    log = adapters.folder / "server.log"
    with started(engine, [*FLAGS, *CPU_FLAGS, *LORA_FLAGS], environment, log) as running:
        yield running


@pytest.fixture(scope="module")
def client(lora_server: Server) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{lora_server.url}/v1", api_key=API_KEY, timeout=120, max_retries=0) as opened:
        yield opened


@pytest.fixture(scope="module")
def plain(client: OpenAI) -> str:
    """How the base model goes on."""
    return goes_on(client, SERVED_NAME)


@pytest.fixture(scope="module")
def full(client: OpenAI) -> str:
    """How the first adapter goes on with all its strength."""
    return goes_on(client, "loud")


def loud(image: str, **fields: object) -> dict[str, object]:
    return {"name": "loud", "image": image, "pullSecrets": ["registry"], **fields}


def goes_on(client: OpenAI, model: str) -> str:
    return client.completions.create(model=model, prompt=PROMPT, max_tokens=12, temperature=0).choices[0].text


def names(client: OpenAI) -> list[str]:
    return sorted(model.id for model in client.models.list())


def states(server: Server) -> dict[str, dict[str, object]]:
    with urllib.request.urlopen(f"{server.url}/adapters", timeout=10) as reply:
        return {str(adapter["name"]): adapter for adapter in json.load(reply)["adapters"]}


def settled(server: Server, **wanted: str) -> dict[str, dict[str, object]]:
    """Wait until just these adapters have these states."""
    until(lambda: {name: one["state"] for name, one in states(server).items()} == wanted, SOON, str(wanted))
    return states(server)


def test_an_adapter_of_the_first_list_is_there_when_the_port_opens(client: OpenAI, lora_server: Server) -> None:
    assert names(client) == ["loud", SERVED_NAME]
    (card,) = [model for model in client.models.list() if model.id == "loud"]
    assert card.model_dump()["parent"] == SERVED_NAME
    told = states(lora_server)["loud"]
    assert (told["state"], told["rank"], told["strength"], told["reason"]) == ("ready", 4, 1.0, "")
    assert str(told["digest"]).startswith("sha256:")


def test_it_changes_what_the_model_says(plain: str, full: str) -> None:
    assert full != plain


def test_another_is_added_while_the_server_runs(
    client: OpenAI, lora_server: Server, adapters: Adapters, image: str, plain: str, full: str
) -> None:
    write_adapter(adapters.volume / "second", matrices(2, rank=8), r=8, use_rslora=True)
    adapters.want(loud(image), {"name": "second", "volume": "v"})
    settled(lora_server, loud="ready", second="ready")
    assert names(client) == ["loud", "second", SERVED_NAME]
    assert len({goes_on(client, "second"), plain, full}) == 3
    assert goes_on(client, "loud") == full


def test_strength_0_gives_the_models_own_answer_and_1_the_adapters_again(
    client: OpenAI, lora_server: Server, adapters: Adapters, image: str, plain: str, full: str
) -> None:
    for strength, expected in ((0.0, plain), (1.0, full)):
        adapters.want(loud(image, strength=strength), {"name": "second", "volume": "v"})
        until(lambda strength=strength: states(lora_server)["loud"]["strength"] == strength, SOON, "the strength")  # type: ignore[misc]
        assert goes_on(client, "loud") == expected


def test_half_the_strength_is_half_the_alpha(
    client: OpenAI, lora_server: Server, adapters: Adapters, image: str, plain: str
) -> None:
    """The same matrices, once with half the strength, and once trained with half the alpha."""
    write_adapter(adapters.volume / "halved", matrices(1), lora_alpha=4)
    adapters.want(loud(image, strength=0.5), {"name": "halved", "volume": "v"})
    settled(lora_server, loud="ready", halved="ready")
    until(lambda: states(lora_server)["loud"]["strength"] == 0.5, SOON, "the strength")
    assert goes_on(client, "loud") == goes_on(client, "halved") != plain


def test_bad_ones_beside_it_are_told_apart_and_disturb_nobody(
    client: OpenAI, lora_server: Server, adapters: Adapters, image: str, plain: str, full: str
) -> None:
    write_adapter(adapters.volume / "foreign", base_model_name_or_path="meta-llama/Llama-3.1-8B")
    write_adapter(adapters.volume / "wide", matrices(3, size=64), base_model_name_or_path="/home/me/model")
    write_adapter(adapters.volume / "other", matrices(3, module="transformer.h.{}.attn.c_attn"))
    write_adapter(adapters.volume / "high", matrices(3, rank=16), r=16)
    write_adapter(adapters.volume / "dora", use_dora=True)
    pickle = write_adapter(adapters.volume / "pickle")
    (pickle / "adapter_model.safetensors").rename(pickle / "adapter_model.bin")
    bad = {"foreign": "made for meta-llama/Llama-3.1-8B, and HuggingFaceTB/SmolLM2-135M-Instruct is served",
           "wide": "64 x 64", "other": "does not have: it was made for", "high": "Set vllm.max-lora-rank to 16",
           "dora": "The engine refuses it: vLLM does not yet support DoRA", "pickle": "Python pickles",
           "nowhere": "404"}  # fmt: skip
    missing = {"name": "nowhere", "image": image.replace("loud", "quiet"), "pullSecrets": ["registry"]}
    adapters.want(loud(image), *({"name": name, "volume": "v"} for name in bad if name != "nowhere"), missing)
    told = settled(lora_server, loud="ready", **dict.fromkeys(bad, "failed"))
    wrong = {name: told[name]["reason"] for name, words in bad.items() if words not in str(told[name]["reason"])}
    assert wrong == {}
    assert "Traceback" not in str(told)
    assert names(client) == ["loud", SERVED_NAME]
    assert (goes_on(client, "loud"), goes_on(client, SERVED_NAME)) == (full, plain)


def test_a_change_that_cannot_be_loaded_leaves_what_was_served(
    client: OpenAI, lora_server: Server, adapters: Adapters, full: str
) -> None:
    adapters.want({"name": "loud", "volume": "v"})
    shutil.copytree(adapters.volume / "wide", adapters.volume / "loud")
    told = settled(lora_server, loud="failed")
    assert "What was loaded before is still served." in str(told["loud"]["reason"])
    assert goes_on(client, "loud") == full


def test_a_list_that_cannot_be_read_changes_nothing(
    client: OpenAI, lora_server: Server, adapters: Adapters, image: str, full: str
) -> None:
    adapters.want(loud(image))
    settled(lora_server, loud="ready")
    adapters.list.write_text("{")
    assert goes_on(client, "loud") == full
    assert names(client) == ["loud", SERVED_NAME]


def test_one_that_is_taken_from_the_list_is_served_no_more(
    client: OpenAI, lora_server: Server, adapters: Adapters, plain: str
) -> None:
    adapters.want()
    settled(lora_server)
    assert names(client) == [SERVED_NAME]
    with pytest.raises(openai.NotFoundError):
        goes_on(client, "loud")
    assert goes_on(client, SERVED_NAME) == plain


def test_no_password_is_in_the_log(lora_server: Server) -> None:
    assert PASSWORD not in lora_server.log.read_text()
