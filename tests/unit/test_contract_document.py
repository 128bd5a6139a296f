"""The published contract: fresh, true to the wire, and not broken without its version saying so."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema
from jsonschema import Draft202012Validator

from services.contracts.base import Contract
from services.contracts.conditions import ConditionType, Reason, true
from services.contracts.errors import Failure, FailureCode
from services.contracts.messages import Demand, NodeReport, Phase, Report
from services.contracts.offers import Offer, Offers
from services.contracts.publish.__main__ import main, newest_release, problems, release, write
from services.contracts.publish.breaking import breaking, complaint, structure
from services.contracts.publish.document import document
from services.contracts.publish.schemas import PUBLISHED, Schema, as_schema, schema_file
from services.contracts.subjects import ServiceName

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
OWNER = {"namespace": "team", "name": "w", "uid": "u", "generation": 1}
QUOTA = Failure(code=FailureCode.QUOTA_EXCEEDED, message="0 of 0", instance_type="A", retry_at=NOW)
MESSAGES: dict[str, Contract] = {
    "demand": Demand.model_validate(
        {**OWNER, "plan_revision": 1, "provider": "rack", "nodes": 2, "instance_type": "A", "labels": {"a": "b"},
         "taints": ["a=b:NoSchedule"], "image_family": "ubuntu", "preferred_nodes": ["n"], "parameters": {"k": "v"}}
    ),
    "report": Report.model_validate(
        {**OWNER, "service": ServiceName.PROVISIONER, "provider": "rack", "failure": QUOTA, "next_step": "x",
         "conditions": [true(ConditionType.NODES_READY, Reason.NODES_READY)], "nodes": [NodeReport(name="n")],
         "phases": [Phase(name="p", started_at=NOW, finished_at=NOW)], "next_at": NOW}
    ),
    "offers": Offers(provider="rack", offers=(Offer(instance_type="A", gpus=1, price_per_hour=1.5),), published_at=NOW),
    "failure": QUOTA,
}  # fmt: skip


Json = dict[str, Any]
Change = Callable[[Json], object]


def changed(change: Change) -> Json:
    """Today's document with one thing changed."""
    body = copy.deepcopy(document())
    change(body)
    return body


def model(body: Json, name: str) -> Json:
    found: Json = body["components"]["schemas"][name]
    return found


def field(body: Json, of: str, name: str) -> Json:
    found: Json = model(body, of)["properties"][name]
    return found


def raised(body: Schema, version: str) -> Schema:
    return body | {"info": {**as_schema(body["info"]), "version": version}}


# -- what is published


def test_the_published_contract_is_fresh_and_breaks_nobody() -> None:
    assert problems() == []
    assert main(["--check"]) == 0


def test_the_document_is_asyncapi_3() -> None:
    # FastStream's model of it insists on a server's path, which the standard does not, and NATS has none.
    parsed = ApplicationSchema.model_validate(document() | {"servers": {}})
    assert set(parsed.channels) == {"demands", "reports", "offers", "deadLetters"}
    assert {parsed.channels[name].address for name in ("demands", "reports", "offers")} == {
        "kaito.demand.{provider}.{namespace}.{name}",
        "kaito.report.provisioner-{provider}.{namespace}.{name}",
        "$KV.OFFERS.{provider}",
    }


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_travels_is_what_the_schemas_say(name: str) -> None:
    schema = schema_file(name, "1.0.0")
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(MESSAGES[name].to_dict())


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_schema_stands_for_itself_and_refuses_what_lacks_a_field(name: str) -> None:
    text = json.dumps(schema_file(name, "1.0.0"))
    assert "#/components" not in text
    assert not Draft202012Validator(json.loads(text)).is_valid({})


# -- what breaks


def test_nothing_breaks_where_nothing_changes() -> None:
    assert breaking(document(), document()) == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: model(d, "Report")["properties"].pop("nodes"), "Report.nodes is gone"),
        (lambda d: model(d, "Phase")["properties"].pop("detail"), "Report.phases[].detail is gone"),
        (lambda d: model(d, "Report")["required"].append("endpoint"), "Report.endpoint is newly required"),
        (lambda d: model(d, "Demand")["required"].remove("nodes"), "Demand.nodes is newly required (seen from its"),
        (lambda d: field(d, "Offer", "cpu").update(anyOf=[{"type": "integer"}]), "cpu can no longer be null"),
        (lambda d: field(d, "Offer", "memoryGib").update(anyOf=[{"type": "integer"}, {"type": "null"}]),
         "memoryGib can no longer be number"),
        (lambda d: field(d, "Demand", "diskGib").update(type="number"), "Demand.diskGib can no longer be number (seen"),
        (lambda d: field(d, "Demand", "nodes").update(minimum=1), "Demand.nodes has a tighter minimum now: 1"),
        (lambda d: field(d, "Demand", "nodes").pop("minimum"), "Demand.nodes has a tighter minimum now: 0 (seen"),
        (lambda d: field(d, "Condition", "reason").update(maxLength=64), "reason has a tighter maxLength now: 64"),
        (lambda d: field(d, "Condition", "reason").update(pattern="^[A-Z]"), "reason has another pattern now"),
        (lambda d: model(d, "FailureCode")["enum"].remove("Timeout"), "code can no longer be 'Timeout'"),
        (lambda d: field(d, "Demand", "labels").update(additionalProperties={"type": "integer"}),
         "Demand.labels[] can no longer be string"),
        (lambda d: d["channels"].pop("reports"), "channel reports is gone"),
        (lambda d: d["channels"]["demands"].update(address="other"), "channel demands has moved"),
        (lambda d: d["operations"]["sendReport"].update(action="receive"), "operation sendReport is gone, or goes"),
        (lambda d: d["components"]["messages"]["Report"]["headers"]["required"].append("ce-id"),
         "Report headers.ce-id is newly required"),
    ],
)  # fmt: skip
def test_a_breaking_change_is_told_of_by_name(change: Change, words: str) -> None:
    assert any(words in text for text in breaking(document(), changed(change)))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: model(d, "Report")["properties"].update(extra={"type": "string"}),
        lambda d: model(d, "Demand")["properties"].update(extra={"type": "string"}),
        lambda d: model(d, "FailureCode")["enum"].append("Novel"),
        lambda d: model(d, "Report")["required"].remove("service"),
        lambda d: field(d, "Condition", "message").pop("maxLength"),
        lambda d: d["channels"].update(more={"address": "kaito.more"}),
    ],
)
def test_an_addition_breaks_nobody_but_is_a_new_version(change: Change) -> None:
    new = changed(change)
    assert breaking(document(), new) == ()
    assert complaint(document(), new) == "the document has changed, so the second number of the version must be raised"
    assert complaint(document(), raised(new, "1.99.0")) is None


def test_a_breaking_change_needs_another_first_number() -> None:
    new = changed(lambda d: model(d, "Report")["properties"].pop("nodes"))
    assert "Report.nodes is gone" in str(complaint(document(), raised(new, "1.99.0")))
    assert complaint(document(), raised(new, "2.0.0")) is None
    assert "goes back" in str(complaint(document(), raised(document(), "0.9.0")))


def test_words_may_change_freely() -> None:
    new = changed(lambda d: field(d, "Demand", "nodes").update(description="How many."))
    assert structure(new) == structure(document())
    assert complaint(document(), new) is None


# -- the command


def test_a_missing_or_stale_file_fails_the_check(tmp_path: Path) -> None:
    write(tmp_path)
    assert problems(tmp_path) == ["no version has been released: run `python -m services.contracts.publish --release`"]
    assert release(tmp_path) is None
    assert newest_release(tmp_path) == document()
    (tmp_path / "schemas" / "demand.schema.json").write_text("{}")
    (stale,) = problems(tmp_path)
    assert stale.startswith("schemas/demand.schema.json is not what the models give")


def test_a_release_is_never_written_over(tmp_path: Path) -> None:
    write(tmp_path)
    release(tmp_path)
    (path,) = (tmp_path / "released").iterdir()
    older = changed(lambda d: model(d, "Report")["properties"].pop("nodes"))
    path.write_text(json.dumps(older))
    assert "must be raised" in str(release(tmp_path))
    assert json.loads(path.read_text()) == older


# -- the pages


@pytest.mark.parametrize("name", ["minimal.py", "plain_nats.py"])
def test_the_page_shows_the_examples_as_they_are(name: str) -> None:
    root = Path(__file__).parents[2]
    code = (root / "examples" / "provisioners" / name).read_text("utf-8")
    assert f"```python\n{code}```" in (root / "docs" / "write-a-provisioner.md").read_text("utf-8")
    assert len(code.splitlines()) < 100


@pytest.mark.parametrize("code", FailureCode)
def test_the_rules_name_every_failure_code_and_what_it_means(code: FailureCode) -> None:
    text = (Path(__file__).parents[2] / "docs" / "contract" / "README.md").read_text("utf-8")
    (row,) = [line for line in text.splitlines() if line.startswith(f"| `{code}` |")]
    assert [cell.strip() for cell in row.split("|")[3:5]] == [
        "yes" if code.passes else "no",
        "yes" if code.spends_offer else "no",
    ]
