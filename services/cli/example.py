"""The first model, as a person would try it: applied, watched until it is ready, asked a question, looked at."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

import yaml
from rich.console import Console

from deploy.local.kubectl import kubectl
from deploy.local.state import CHECKOUT, LocalState
from services.chassis.kube.objects import dig_str
from services.cli.commands.trace import trace
from services.cli.completions import answer
from services.cli.connect import cluster, run
from services.cli.errors import CliError
from services.cli.lookup import find_workspace
from services.cli.waiting import wait_until_ready
from services.cli.way import Direct, find_way

EXAMPLE = CHECKOUT / "examples" / "01-smollm2.yaml"
QUESTION = "What is the capital of France?"


class Name(NamedTuple):
    """Which Workspace the example is."""

    namespace: str
    name: str


def run_example(state: LocalState, console: Console) -> None:
    """Apply the example and show all of its way to an answer. Raises CliError or StateError where it ends early."""
    # What is read from here on is what `up` has started, whatever the shell points to.
    os.environ |= {"KUBECONFIG": str(state.kubeconfig), "KAITOBUS_NATS_URL": state.nats_url}
    name = read_name(EXAMPLE)
    _apply(state, console)
    run(wait_until_ready(name.namespace, name.name, console))
    console.print(f"\n[bold]> {QUESTION}[/]")
    console.print(run(_ask(name, QUESTION)), markup=False)
    _show(
        state, console, "get", "workspace", name.name, *([] if name.namespace == "default" else ["-n", name.namespace])
    )
    console.print(f"\n[bold]$ kaitobus trace {name.name}[/]")
    trace(name.name, name.namespace, None)


def read_name(path: Path) -> Name:
    """The name in the example's manifest. Raises CliError where it cannot be read."""
    try:
        documents = list(yaml.safe_load_all(path.read_text()))
    except (OSError, yaml.YAMLError) as error:
        raise CliError(f"The example {path} cannot be read: {error}") from error
    found = next((d for d in documents if dig_str(d, "kind") == "Workspace"), None)
    return Name(dig_str(found, "metadata", "namespace") or "default", dig_str(found, "metadata", "name"))


def _apply(state: LocalState, console: Console) -> None:
    shown = EXAMPLE.relative_to(CHECKOUT)
    console.print(f"\n[bold]$ kubectl apply -f {shown}[/]")
    console.print(kubectl(state, "apply", "-f", str(EXAMPLE)).strip(), markup=False)


def _show(state: LocalState, console: Console, *arguments: str) -> None:
    """Run kubectl and show the command with what it printed."""
    console.print(f"\n[bold]$ kubectl {' '.join(arguments)}[/]")
    console.print(kubectl(state, *arguments).rstrip(), markup=False)


async def _ask(name: Name, question: str) -> str:
    """The model's answer to one question, the likeliest word at each step."""
    async with cluster() as found:
        way = await find_way(found, await find_workspace(found, name.namespace, name.name))
        pieces = answer(way, [{"role": "user", "content": question}], temperature=0.0)
        return "".join([piece async for piece in pieces])


async def _url(name: Name) -> str | None:
    """Where the model answers on this machine."""
    async with cluster() as found:
        way = await find_way(found, await find_workspace(found, name.namespace, name.name))
        return way.url if isinstance(way, Direct) else None


def say_how_to_go_on(state: LocalState, console: Console, *, example: bool) -> None:
    """Print the commands that work from here on, ready to copy."""
    programs = Path(sys.executable).parent
    lines = [f"export KUBECONFIG={state.kubeconfig} PATH={programs}:$PATH", "kubectl get workspace -w"]
    if example:
        lines += _model_lines(read_name(EXAMPLE))
    else:
        lines += [f"kubectl apply -f {EXAMPLE.relative_to(CHECKOUT)}"]
    console.print("\nAll runs, and goes on running. Next:")
    for line in [*lines, "make down"]:
        console.print(f"  {line}", markup=False)


def _model_lines(name: Name) -> list[str]:
    url = run(_url(name))
    body = '{"messages": [{"role": "user", "content": "Who are you?"}]}'
    curl = f"curl -s {url}/v1/chat/completions -H 'Content-Type: application/json' -d '{body}'"
    return ([curl] if url else []) + [f"kaitobus chat {name.name}", f"kaitobus why {name.name}"]
