"""The node agent: environment and command line of a container."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.node.downward import Place, pod_field, resource_field
from deploy.local.node.env import container_env, expand
from deploy.local.node.images import Image
from deploy.local.node.launch import build_command
from deploy.local.node.pod import Pod
from deploy.local.node.pod_container import Container, ResourceFieldRef
from deploy.local.node.quantity import in_units, parse_quantity
from deploy.local.node.sources import ConfigError, Name, Sources, content
from tests.unit.node_objects import POD_DIR, make_container, make_pod

PLACE = Place("192.0.2.7", {"cpu": "4", "memory": "8Gi"})
SOURCES = Sources({Name("ConfigMap", "map"): {"a": b"1", "no name": b"2"}, Name("Secret", "s"): {"bin": b"\xff"}})


def env_of(container: Container, base: dict[str, str] | None = None) -> dict[str, str]:
    return container_env(make_pod(container), container, SOURCES, PLACE, base or {})


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(A)", "x1y1"),
        ("$(B)", "$(B)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A $", "$A $"),
        ("$(A", "$(A"),
    ],
)
def test_references_are_expanded_as_kubernetes_does(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1"}) == expanded


@given(st.text(alphabet=st.characters(exclude_characters="$")))
def test_text_without_a_dollar_stays_as_it_is(text: str) -> None:
    assert expand(text, {"A": "1"}) == text


def test_a_variable_may_refer_to_those_before_it() -> None:
    env = [{"name": "A", "value": "$(B)"}, {"name": "B", "value": "2"}, {"name": "C", "value": "$(B)$(BASE)"}]
    assert env_of(make_container(env=env), {"BASE": "0"}) == {"BASE": "0", "A": "$(B)", "B": "2", "C": "20"}


def test_env_wins_over_env_from_and_what_is_no_name_is_left_out() -> None:
    source = {"prefix": "P_", "configMapRef": {"name": "map"}}
    assert env_of(make_container(envFrom=[source], env=[{"name": "X", "value": "$(P_a)"}])) == {"P_a": "1", "X": "1"}


@pytest.mark.parametrize(
    ("reference", "complaint"),
    [
        ({"configMapKeyRef": {"name": "none", "key": "a"}}, "ConfigMap 'none' does not exist"),
        ({"configMapKeyRef": {"name": "map", "key": "z"}}, "has no key 'z'; it has: a, no name"),
        ({"secretKeyRef": {"name": "s", "key": "bin"}}, "is not text"),
        ({"fieldRef": {"fieldPath": "spec.nothing"}}, "'spec.nothing' is not known"),
    ],
)
def test_what_is_missing_is_named(reference: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        env_of(make_container(env=[{"name": "X", "valueFrom": reference}]))


def test_a_missing_optional_key_is_no_variable() -> None:
    reference = {"configMapKeyRef": {"name": "map", "key": "z", "optional": True}}
    assert env_of(make_container(env=[{"name": "X", "valueFrom": reference}])) == {}


def test_a_pod_knows_itself() -> None:
    pod = make_pod(labels={"app": "x"})
    assert pod_field(pod, "metadata.labels['app']", PLACE) == "x"
    assert pod_field(pod, "metadata.labels", PLACE) == 'app="x"'
    assert pod_field(pod, "status.podIP", PLACE) == "192.0.2.7"


def test_a_container_without_a_limit_has_the_whole_node() -> None:
    container = make_container(resources={"limits": {"cpu": "1500m"}})
    pod: Pod = make_pod(container)

    def limit(resource: str, divisor: str) -> str:
        return resource_field(pod, container, ResourceFieldRef(resource=resource, divisor=divisor), PLACE)

    assert limit("limits.cpu", "1") == "2"
    assert limit("limits.cpu", "1m") == "1500"
    assert limit("limits.memory", "1Mi") == "8192"


def test_quantities() -> None:
    assert [int(parse_quantity(text)) for text in ("4Gi", "2k", "1e3", "7")] == [4 * 2**30, 2000, 1000, 7]
    assert in_units("1", "3") == 1
    with pytest.raises(ValueError, match="'4 Gi' is no Kubernetes quantity"):
        parse_quantity("4 Gi")


def test_a_secret_is_decoded_and_what_is_not_base64_left_out() -> None:
    assert content("Secret", {"data": {"a": "aGk=", "b": "?"}}) == {"a": b"hi"}
    assert content("ConfigMap", {"data": {"a": "hi"}, "binaryData": {"b": "/w=="}}) == {"a": b"hi", "b": b"\xff"}


def test_a_command_is_expanded_rewritten_and_run_in_a_clean_environment() -> None:
    container = make_container(
        command=["serve", "--port", "5000", "--host=0.0.0.0"],
        args=["--config=/etc/c/$(FILE)"],
        env=[{"name": "FILE", "value": "x.yaml"}, {"name": "DIR", "value": "/etc/c"}],
        volumeMounts=[{"name": "v", "mountPath": "/etc/c"}],
    )
    pod = make_pod(container, volumes=[{"name": "v", "emptyDir": {}}])
    image = Image(path=("/engine/bin",), env={"OFFLINE": "1"})
    command = build_command(
        pod, container, image, SOURCES, PLACE, pod_dir=POD_DIR, ports={5000: 17001}, base_env={"MODELS": "/m"}
    )
    volume = f"{POD_DIR}/volumes/v"
    assert command.argv == ["serve", "--port", "17001", "--host=127.0.0.1", f"--config={volume}/x.yaml"]
    assert command.env["PATH"] == "/engine/bin:/usr/local/bin:/usr/bin:/bin"
    assert command.env["DIR"] == volume
    assert (command.env["OFFLINE"], command.env["MODELS"]) == ("1", "/m")
    assert command.env["KAITOBUS_PORT_5000"] == "17001"
    assert command.cwd == command.env["HOME"] == f"{POD_DIR}/home"


def test_a_container_that_runs_nothing_is_told_so() -> None:
    container = make_container(command=[])
    with pytest.raises(ConfigError, match="neither container 'main' nor its image"):
        build_command(make_pod(container), container, Image(), SOURCES, PLACE, pod_dir=POD_DIR, ports={}, base_env={})
