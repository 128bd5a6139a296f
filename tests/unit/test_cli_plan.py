"""`kaitobus plan`: which sizes fit, which is chosen and why; exit codes; bad input in plain words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from services.cli.main import app
from services.cli.manifests import BadFile, read_manifests

EXAMPLES = Path(__file__).parents[2] / "examples"

SERVED = """
apiVersion: kaito.sh/v1beta1
kind: Workspace
metadata: {name: NAME}
resource: {RESOURCE labelSelector: {matchLabels: {apps: x}}}
inference: {preset: {name: MODEL}}
"""


def manifest(name: str = "w", model: str = "llama-3.1-8b-instruct", instance_type: str = "") -> str:
    resource = f"instanceType: {instance_type}," if instance_type else ""
    return SERVED.replace("NAME", name).replace("MODEL", model).replace("RESOURCE", resource)


def run(*options: str, stdin: str | None = None) -> Result:
    file = ("-",) if stdin is not None else ()
    return CliRunner().invoke(app, ["plan", "-f", *file, *options], input=stdin)


def planned(*options: str, stdin: str) -> list[dict[str, object]]:
    result = run(*options, "-o", "json", stdin=stdin)
    answers = json.loads(result.stdout)
    assert isinstance(answers, list)
    return answers


def test_the_table_shows_the_candidates_marks_the_chosen_one_and_says_why() -> None:
    result = run("--cloud", "azure", stdin=manifest())
    assert result.exit_code == 0
    assert "*  Standard_NV36ads_A10_v5" in result.stdout
    assert "T4 is too old (CUDA 7.5): taken only if it is named." in result.stdout
    assert "Chosen: Standard_NV36ads_A10_v5 of provider azure." in result.stdout
    assert "as of 2026-11-23" in result.stdout


def test_tuning_is_planned_with_the_settings_that_stand_beside_it() -> None:
    (answer,) = planned("--cloud", "azure", stdin=(EXAMPLES / "06-tuning.yaml").read_text())
    candidates = answer["candidates"]
    assert isinstance(candidates, list)
    assert candidates[0]["tuningMemory"]["weightsGib"] > 0.2
    assert "with 2 x 64 tokens a step" in json.dumps(answer["plan"])


def test_json_has_every_number_of_every_candidate() -> None:
    (answer,) = planned("--cloud", "azure", stdin=manifest())
    candidates = answer["candidates"]
    assert isinstance(candidates, list)
    (chosen,) = [c for c in candidates if c["chosen"]]
    assert chosen["instanceType"] == "Standard_NV36ads_A10_v5"
    assert chosen["costPerHour"] == 3.2
    assert chosen["concurrency"] >= 1
    parts = ("weightsGib", "activationGib", "nonTorchGib", "graphsGib", "kvCacheGib", "kvTokens", "totalGib")
    assert all(chosen["memory"][part] > 0 for part in parts)
    seen = {c["instanceType"] for c in candidates} | {o["instanceType"] for o in answer["others"]}  # type: ignore[attr-defined]
    assert len(seen) == 21


def test_every_example_can_be_planned() -> None:
    for path in sorted(EXAMPLES.glob("*.yaml")):
        assert run(str(path)).exit_code in (0, 3), path


def test_several_documents_are_planned_one_by_one() -> None:
    answers = planned(stdin="---".join((manifest("a"), manifest("b", "phi-4"), "\n")))
    assert [answer["workspace"] for answer in answers] == ["default/a", "default/b"]


def test_the_config_map_beside_it_counts_and_a_missing_one_is_told() -> None:
    text = (EXAMPLES / "04-engine-settings.yaml").read_text()
    (with_config,) = planned(stdin=text)
    assert with_config["plan"]["engine"]["maxModelLen"] == 1024  # type: ignore[index]
    (without,) = planned(stdin=text.partition("---")[2])
    assert without["notes"] == ["ConfigMap engine-settings is not in the file: planned with the engine's defaults."]


def test_a_named_size_is_marked_though_it_would_not_be_chosen() -> None:
    result = run(
        "--cloud", "azure", stdin=manifest(model="phi-3-mini-4k-instruct", instance_type="Standard_NC4as_T4_v3")
    )
    assert result.exit_code == 0
    assert "*  Standard_NC4as_T4_v3" in result.stdout
    assert "is older than today's vLLM wants" in result.stdout


def test_nothing_fits_gives_exit_code_3_and_the_smallest_that_would() -> None:
    result = run("--cloud", "azure", stdin=manifest(model="phi-4", instance_type="Standard_NV36ads_A10_v5"))
    assert result.exit_code == 3
    assert "The smallest that fits is Standard_" in result.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "is not YAML"),
        ("kind: Pod", "holds no Workspace of kaito.sh, but Pod"),
        ("", "holds no Workspace"),
        ("a: &x 1\nb: *x", "aliases"),
        (f"a: {'[' * 600_000}", "more than 100 lists and maps within each other"),
        (manifest(model="falcon-7b"), "no longer served"),
        (manifest(instance_type="Standard_NC6s_v4"), "Did you mean Standard_NC6s_v3"),
        (manifest(name="Not_A_Name"), "metadata.name must begin with a letter"),
        (manifest(name="[1]"), "metadata.name"),
        (manifest().replace("inference: {preset:", "inference: {presets:"), "exactly one of preset and template"),
        ("apiVersion: kaito.sh/v1beta1\nkind: Workspace\nmetadata: 7", "resource: Field required"),
    ],
)  # fmt: skip
def test_bad_input_gives_exit_code_2_and_a_plain_sentence(text: str, words: str) -> None:
    result = run(stdin=text)
    assert result.exit_code == 2, result.output
    assert words in result.output
    assert "Traceback" not in result.output


def test_bad_input_in_one_document_does_not_hide_the_others() -> None:
    result = run(stdin=f"{manifest('bad', 'no-such-model')}---{manifest('good')}")
    assert result.exit_code == 2
    assert "Chosen: " in result.stdout


def test_a_file_that_is_not_there_and_a_cloud_that_is_none() -> None:
    assert "No such file" in run("/nowhere/w.yaml").output
    missing = run("--cloud", "moon", stdin=manifest())
    assert (missing.exit_code, "There are: arc, aws, azure." in missing.output) == (2, True)


def test_offers_of_a_file_take_the_place_of_the_tables(tmp_path: Path) -> None:
    offers = tmp_path / "offers.json"
    size = {"instanceType": "box", "gpus": 8, "gpuModel": "A100", "gpuMemoryGib": 79.1, "cudaComputeCapability": 8.0}
    rack = {"provider": "rack", "offers": [{**size, "shared": True, "freeGpus": 3, "readySeconds": 0}]}
    offers.write_text(json.dumps(rack))
    (answer,) = planned("--offers", str(offers), stdin=manifest())
    candidates = answer["candidates"]
    assert isinstance(candidates, list)
    assert [(c["instanceType"], c["gpusTaken"], c["gpusOfNode"]) for c in candidates] == [("box", 1, 8)]
    offers.write_text('{"offers": 1}')
    refused = run("--offers", str(offers), stdin=manifest())
    assert (refused.exit_code, "holds no offers" in refused.output) == (2, True)
    offers.write_text("# nothing yet")
    empty = run("--offers", str(offers), stdin=manifest())
    assert (empty.exit_code, "holds no offers" in empty.output) == (2, True)
    offers.write_text("[" * 600_000)
    refused = run("--offers", str(offers), stdin=manifest())
    assert (refused.exit_code, "within each other" in refused.output) == (2, True)


def test_karpenter_sells_the_clouds_sizes_and_own_machines_are_in_no_table() -> None:
    annotated = "metadata: {name: w, annotations: {kaito.sh/provider: PROVIDER}}"
    text = manifest().replace("metadata: {name: w}", annotated)
    result = run("--cloud", "aws", stdin=text.replace("PROVIDER", "karpenter"))
    assert "of provider karpenter" in result.stdout
    own = run(stdin=text.replace("PROVIDER", "byo"))
    assert (own.exit_code, "pass --offers FILE" in own.stdout) == (3, True)


KEYS = st.sampled_from(["kind", "apiVersion", "metadata", "resource", "inference", "name", "items"])
VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["Workspace", "kaito.sh/v1beta1"])
documents = st.recursive(VALUES, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=20).map(
    json.dumps
)


def test_a_model_that_only_the_hub_knows_is_refused_in_words_where_no_hub_may_be_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = run(stdin=manifest(model="someone/some-model"))
    assert (result.exit_code, "HF_HUB_OFFLINE is set, so no hub is asked." in result.stdout) == (2, True)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text() | documents)
def test_whatever_a_file_holds_it_is_read_or_refused_in_words(tmp_path: Path, text: str) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    assert read_or_refused(str(path))


def read_or_refused(name: str) -> bool:
    """Whether there are manifests, or a sentence."""
    try:
        return all(m.state or m.problem for m in read_manifests(name))
    except BadFile as error:
        return str(error).endswith(".")
