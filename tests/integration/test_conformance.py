"""The conformance suite itself: it passes what keeps to the contract, and catches what does not."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from typer.testing import CliRunner

from services.chassis.bus import Bus
from services.cli.conformance.outcome import Outcome, Result
from services.cli.conformance.rules import Rule
from services.cli.conformance.runner import Suite, let_go_of_earlier, until_offered
from services.cli.conformance.scenarios import SCENARIOS
from services.cli.conformance.setting import Setting
from services.cli.conformance.wire import Wire
from services.cli.main import app
from services.contracts.messages import Demand
from services.contracts.subjects import CONFORMANCE
from tests.integration.conftest import NatsServer

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "provisioners" / "plain_nats.py"
"""A provisioner that keeps to the contract; tests spoil copies of it."""


@asynccontextmanager
async def serving(server: NatsServer, folder: Path, spoil: tuple[str, str] = ("", "")) -> AsyncIterator[None]:
    """The example with one piece of it replaced, as a process that comes back when it ends."""
    source = EXAMPLE.read_text()
    assert spoil[0] in source, "the example is not what the test believes"
    copy = folder / "provisioner.py"
    copy.write_text(source.replace(*spoil) if spoil[0] else source)

    async def run() -> None:
        while True:
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(copy), server.url, stderr=asyncio.subprocess.DEVNULL
            )
            try:
                await process.wait()
                await asyncio.sleep(0.1)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def play(server: NatsServer, scenario: str, patience: float = 6) -> Result:
    """One scenario of the suite against the provisioner that serves, with NATS as all there is."""
    client = await nats.connect(server.url)
    wire = Wire(client, "rack")
    chosen = [s for s in SCENARIOS if s.name == scenario]
    try:
        async with wire.topology():
            await until_offered(wire, 20)
            setting = Setting(wire, "rack.l4", nodes=2, patience=patience)
            (result,) = [result async for result in Suite(setting).run(chosen)]
            return result
    finally:
        await client.close()


SAID = "return {**ours, **said,"
ONE_TOO_MANY = (SAID, 'said["nodes"] += said["nodes"] and [{"name": "extra", "ready": True}]\n    ' + SAID)
TWICE_THE_SAME = ("last is None or json.loads(last.data) != said", "True")
NEVER_RELEASED = ('"released": not machines', '"released": False')
ALWAYS_RELEASED = ('"released": not machines', '"released": True')
ANOTHER_UID = (SAID, 'ours["uid"] = "another"\n    ' + SAID)
WORDY_REASONS = ('"reason": v', '"reason": "all is well"')
NODES_AS_A_WORD = ('"nodes": [{"name": name, "ready": True} for name in machines]', '"nodes": "one"')
NEVER_READY = ("if machines]", "if False]")
NO_MESSAGE_ID = ('"Nats-Msg-Id": unique, ', "")
NOTHING_PUT_ASIDE = ('await js.publish(f"kaito.dlq', 'str(f"kaito.dlq')
SAYS_NOTHING_OF_ZERO = ("await say(js, said)", 'await (say(js, said) if said["nodes"] else asyncio.sleep(0))')
GOES_BY_REVISION_ALONE = (
    "await say(js, said)",
    'newest = handle.__dict__.setdefault("newest", [0])\n'
    '        newest[0] = max(newest[0], said["planRevision"])\n'
    '        await (say(js, said) if said["planRevision"] >= newest[0] else asyncio.sleep(0))',
)
DEAF = ("await handle(js, messages[0])", "await messages[0].ack()")


@pytest.mark.parametrize(
    ("spoil", "scenario", "rule"),
    [
        (ONE_TOO_MANY, "create", Rule.SAME_DEMAND),
        (NEVER_RELEASED, "create", Rule.LET_GO),
        (ALWAYS_RELEASED, "create", Rule.RELEASED),
        (ANOTHER_UID, "create", Rule.REPEAT),
        (WORDY_REASONS, "create", Rule.REASONS),
        (NODES_AS_A_WORD, "create", Rule.SCHEMA),
        (NEVER_READY, "create", Rule.CONDITIONS),
        (DEAF, "create", Rule.QUICKLY),
        (NO_MESSAGE_ID, "create", Rule.MESSAGE_ID),
        (SAYS_NOTHING_OF_ZERO, "nothing to let go", Rule.LET_GO),
        (GOES_BY_REVISION_ALONE, "another of the name", Rule.QUICKLY),
        (TWICE_THE_SAME, "same demand twice", Rule.ONCE),
        (NOTHING_PUT_ASIDE, "malformed demand", Rule.UNREADABLE),
    ],
)
async def test_what_does_not_keep_to_the_contract_is_caught(
    nats_server: NatsServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: tuple[str, str],
    scenario: str,
    rule: Rule,
) -> None:
    monkeypatch.setattr("services.cli.conformance.letters.PUT_ASIDE", 2.0)
    async with serving(nats_server, tmp_path, spoil):
        result = await play(nats_server, scenario)
    assert (result.outcome, result.rule) == (Outcome.FAILED, rule), result.detail
    assert result.detail


@pytest.mark.parametrize(
    "scenario",
    ["create", "scale up and down", "newest wins", "let go at once", "nothing to let go", "another of the name"],
)
async def test_what_keeps_to_it_passes(nats_server: NatsServer, tmp_path: Path, scenario: str) -> None:
    async with serving(nats_server, tmp_path):
        result = await play(nats_server, scenario)
    assert result.outcome is Outcome.PASSED, result.detail


async def test_what_cannot_be_played_is_not_asked(nats_server: NatsServer, tmp_path: Path) -> None:
    async with serving(nats_server, tmp_path):
        result = await play(nats_server, "quota error")
    assert result.outcome is Outcome.NOT_ASKED
    assert "--faults" in result.detail


async def test_what_a_run_that_was_cut_off_left_behind_is_let_go_of(nats_server: NatsServer, bus: Bus) -> None:
    left = Demand(
        namespace=CONFORMANCE, name="create-1", uid="u", generation=1, plan_revision=3, provider="rack", nodes=2,
        instance_type="rack.l4",
    )  # fmt: skip
    await bus.publish(left)
    async with asyncio.timeout(60):
        while await bus.newest(Demand, left.subject) is None:
            await asyncio.sleep(0.02)
    assert await let_go_of_earlier(Wire(bus.client, "rack")) == 1
    async with asyncio.timeout(60):
        while (now := await bus.newest(Demand, left.subject)) == left:
            await asyncio.sleep(0.02)
    assert now is not None
    assert (now.nodes, now.plan_revision) == (0, 4)


# -- the command


async def run_command(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli.main", "conformance", *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


async def test_a_breach_ends_with_1_and_is_told_with_the_sentence(nats_server: NatsServer, tmp_path: Path) -> None:
    async with serving(nats_server, tmp_path, WORDY_REASONS):
        code, output, errors = await run_command("--provider", "rack", "--nats", nats_server.url, "--only", "create")
    assert (code, errors) == (1, "")
    lines = output.splitlines()
    assert re.fullmatch(r"SCENARIO +RESULT +TIME", lines[0])
    assert re.fullmatch(r"create +failed +\d.*", lines[1])
    assert lines[2] == f'  the contract: "{Rule.REASONS}"'
    assert "has the reason 'all is well'" in lines[3]
    assert lines[4:] == ["1 failed"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--nats", "nats://127.0.0.1:1"], "does not answer"),
        (["--faults", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["--nodes", "0"], "Invalid value"),
        (["--only", "scale"], "There is no scenario 'scale'. There are: offers, create,"),
    ],
)
async def test_a_bad_call_ends_with_2_and_a_sentence(options: list[str], text: str) -> None:
    code, output, errors = await run_command("--provider", "rack", *options)
    assert (code, output) == (2, "")
    assert text in errors
    assert "Traceback" not in errors


def test_a_faults_file_that_makes_no_sense_is_told(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text("quota: {parameter: {a: b}}\n")
    done = CliRunner().invoke(app, ["conformance", "--provider", "rack", "--faults", str(path)])
    assert done.exit_code == 2
    assert "quota.parameter: Extra inputs are not permitted" in done.output


# -- the sentences


def test_every_sentence_stands_in_the_contract() -> None:
    text = (ROOT / "docs" / "contract" / "README.md").read_text()
    plain = re.sub(r"\s+", " ", re.sub(r"[*`|]", "", text))
    assert [str(rule) for rule in Rule if str(rule) not in plain] == []


def test_results_are_json_for_programs() -> None:
    result = Result(scenario="create", outcome=Outcome.FAILED, seconds=1.5, rule=Rule.ONCE, detail="d")
    assert json.loads(result.to_json())["rule"] == Rule.ONCE
