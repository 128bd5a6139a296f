"""What a person does on one machine: up, ask a model, look at it, kill what serves it not, delete, down.

The tests go through one life of the stack, in their order.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from deploy.local.engine import ensure_engine, ensure_model
from deploy.local.engine.cache import cache_home
from services.chassis.kube import JsonObject, dig_dict, dig_dicts, dig_str
from tests.engine.machine import Machine, execute, until

pytestmark = pytest.mark.timeout(900)

QUESTION = "What is the capital of France?"


def processes_of(folder: Path) -> list[str]:
    """The command lines of all processes that name the folder: in their arguments or their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            arguments = (entry / "cmdline").read_bytes()
            if entry.name != str(os.getpid()) and bytes(folder) in arguments + (entry / "environ").read_bytes():
                found.append(arguments.replace(b"\0", b" ").decode(errors="replace"))
    return found


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    ensure_engine(print)
    ensure_model(print)
    folder = tmp_path_factory.mktemp("machine") / "state"
    # What an earlier `up` of this user has measured would be told again, and not that nothing is measured.
    shutil.rmtree(cache_home() / "compiled" / "default" / "smollm2" / "benchmark", ignore_errors=True)
    try:
        yield Machine(folder, execute(folder, "kaitobus", "up"))
    finally:
        execute(folder, "kaitobus", "down")


def test_up_asks_the_model_and_shows_the_answer_the_row_and_the_waterfall(machine: Machine) -> None:
    assert f"> {QUESTION}" in machine.output
    assert "Paris" in machine.output
    assert re.search(r"^smollm2 .* Ready ", machine.output, re.MULTILINE)
    assert "first token" in machine.output.split("kaitobus trace")[1]


def test_up_again_picks_up_what_runs(machine: Machine) -> None:
    before = machine.pid("deployer")
    machine.run("kaitobus", "up", "--no-example")
    assert machine.pid("deployer") == before


def test_the_official_openai_client_gets_an_answer_through_the_services_address(machine: Machine) -> None:
    with openai.OpenAI(base_url=f"{machine.url}/v1", api_key="none") as client:
        assert [model.id for model in client.models.list()] == ["smollm2-135m-instruct"]
        assert "Paris" in ask(client)


def test_the_status_tells_what_the_engine_measured_beside_what_was_planned(machine: Machine) -> None:
    def metrics() -> JsonObject:
        return dig_dict(machine.get("workspace", "smollm2"), "status", "performance", "metrics")

    until(lambda: bool(metrics()), 60, "what the engine measured")
    tokens = dig_dict(metrics(), "kvCacheTokens")
    assert int(dig_str(tokens, "value")) == pytest.approx(int(dig_str(tokens, "config", "planned")), rel=0.05)
    assert dig_str(metrics(), "kvCacheMemory", "value") == "1.00"


def test_the_running_server_is_told_not_to_measure_itself_and_says_so_in_the_status(machine: Machine) -> None:
    machine.run("kubectl", "annotate", "workspace", "smollm2", "kaito.sh/benchmark=off")

    def told() -> str:
        conditions = dig_dicts(machine.get("workspace", "smollm2"), "status", "conditions")
        found = [c for c in conditions if c["type"] == "BenchmarkCompleted" and c["reason"] == "BenchmarkOff"]
        return dig_str(found[0], "message") if found else ""

    until(lambda: "says off" in told(), 60, "the word of the server")


def ask(client: openai.OpenAI) -> str:
    answer = client.chat.completions.create(
        model="smollm2-135m-instruct",
        messages=[{"role": "user", "content": QUESTION}],
        temperature=0,
        max_tokens=16,
    )
    return answer.choices[0].message.content or ""


def test_chat_answers_as_kaitos_old_servers_did(machine: Machine) -> None:
    with openai.OpenAI(base_url=machine.url, api_key="none") as client:
        answer = client.post("/chat", cast_to=object, body={"prompt": QUESTION})
    assert isinstance(answer, dict)
    assert "Paris" in answer["Result"]


def test_the_command_line_chats(machine: Machine) -> None:
    assert "Paris" in machine.run("kaitobus", "chat", "smollm2", QUESTION)


def test_kubectl_shows_workspace_workload_node_and_logs(machine: Machine) -> None:
    workspace = machine.get("workspace", "smollm2")
    assert dig_str(workspace, "status", "endpoint") == "http://smollm2.default.svc.cluster.local"
    assert dig_str(workspace, "status", "state") == "Ready"
    assert "1/1" in machine.run("kubectl", "get", "statefulset", "smollm2")
    assert " Ready " in machine.run("kubectl", "get", "nodes")
    assert "/v1/chat/completions" in machine.run("kubectl", "logs", "smollm2-0")


def test_what_the_engine_learned_for_its_next_start_is_kept_for_this_workspace_alone(machine: Machine) -> None:
    pod = dig_dict(machine.get("pod", "smollm2-0"), "spec")
    (volume,) = [volume for volume in dig_dicts(pod, "volumes") if volume["name"] == "compiled"]
    kept = Path(dig_str(volume, "hostPath", "path"))
    assert kept.parts[-2:] == ("default", "smollm2")
    assert any((kept / "modelinfos").iterdir())


def test_describe_tells_the_story_in_events(machine: Machine) -> None:
    told = machine.run("kubectl", "describe", "workspace", "smollm2")
    events = told.split("Events:")[1]
    assert [word for word in ("Planned", "NodesReady", "workspaceSucceeded") if word not in events] == []


def test_get_why_and_trace_agree_that_it_is_ready(machine: Machine) -> None:
    assert re.search(r"^smollm2 .* Ready ", machine.run("kaitobus", "get"), re.MULTILINE)
    assert json.loads(machine.run("kaitobus", "why", "smollm2", "-o", "json"))["verdict"] == "ready"
    spans = json.loads(machine.run("kaitobus", "trace", "smollm2", "-o", "json"))["spans"]
    told = {span["service"] for span in spans}
    assert told >= {"workspace", "watcher", "scheduler", "deployer", "provisioner"}
    assert all(span["durationSeconds"] >= 0 for span in spans)


def test_it_answers_on_while_provisioner_and_deployer_are_killed_and_come_back(machine: Machine) -> None:
    answers: list[str] = []
    enough = threading.Event()

    def keep_asking() -> None:
        with openai.OpenAI(base_url=f"{machine.url}/v1", api_key="none", max_retries=0) as client:
            while not enough.is_set():
                answers.append(ask(client))

    asking = threading.Thread(target=keep_asking)
    asking.start()
    try:
        for name in ("provisioner-local", "deployer"):
            before = machine.pid(name)
            os.kill(before, signal.SIGKILL)
            until(lambda name=name, before=before: is_back(machine, name, before), 30, f"{name}")  # type: ignore[misc]
            count = len(answers)
            until(lambda count=count: len(answers) > count or not asking.is_alive(), 30, "an answer")  # type: ignore[misc]
    finally:
        enough.set()
        asking.join(60)
    assert len(answers) > 1
    assert all("Paris" in answer for answer in answers)
    assert dig_str(machine.get("workspace", "smollm2"), "status", "state") == "Ready"


def is_back(machine: Machine, name: str, before: int) -> bool:
    (found,) = [p for p in json.loads(machine.run("kaitobus", "ps", "-o", "json")) if p["name"] == name]
    return found["pid"] not in (None, before) and found["problem"] is None


def test_delete_takes_down_the_workload_then_the_node_then_the_workspace(machine: Machine) -> None:
    kinds = ("pods", "nodes", "workspaces")
    machine.run("kubectl", "delete", "workspace", "smollm2", "--wait=false")
    gone: dict[str, float] = {}
    until(lambda: note_gone(machine, kinds, gone), 120, "the end of all")
    assert sorted(kinds, key=gone.__getitem__) == list(kinds)
    for left in ("pods,statefulsets,nodes,workspaces", "services"):
        items = machine.get(left, "-l", "kaito.sh/workspace=smollm2")["items"]
        assert items == []
    assert [line for line in processes_of(machine.folder) if "vllm" in line or "inference" in line] == []


def note_gone(machine: Machine, kinds: tuple[str, ...], gone: dict[str, float]) -> bool:
    """Note in which look each kind was first seen to be gone; the one that goes last is looked at first.

    What goes within one look has one time: which of them went first cannot be seen then.
    """
    now = time.monotonic()
    for kind in reversed(kinds):
        if kind not in gone and not machine.get(kind)["items"]:
            gone[kind] = now
    return len(gone) == len(kinds)


def test_down_leaves_no_process_and_no_folder(machine: Machine) -> None:
    machine.run("kaitobus", "down")
    assert not machine.folder.exists()
    assert processes_of(machine.folder) == []
