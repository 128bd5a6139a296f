"""Where a model's files come from: what a Workspace may say, what is planned, and what becomes of it in the pod."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.kube import JsonObject, dig_dict, dig_dicts
from services.contracts.conditions import Reason
from services.contracts.model_source import (
    ANNOTATION_LOCAL_WEIGHTS,
    ANNOTATION_MODEL_SOURCE,
    BadSource,
    ModelSource,
    named_source,
)
from services.contracts.workspace import Preset, PresetOptions
from services.deployer.diagnose import diagnose
from services.deployer.manifests import Images, render
from services.deployer.pods import Pod
from services.deployer.weights import WeightsSettings
from services.watcher.references import secret_names
from services.watcher.validate import find_problem
from tests.unit.samples import plan, plan_state, workspace

IMAGE = "registry.example.com/team/phi:v1"
PULLED = ModelSource(image=IMAGE, pull_secrets=("reg", "other"))


def annotated(uri: str, **options: object) -> ModelSource | None:
    preset = Preset(name="phi", preset_options=PresetOptions.model_validate(options) if options else None)
    return named_source(preset, {ANNOTATION_MODEL_SOURCE: uri})


def pod(source: ModelSource, settings: WeightsSettings | None = None) -> JsonObject:
    made = plan()
    assert made.model is not None
    made = made.model_copy(update={"model": made.model.model_copy(update={"source": source}), "disk_gib": 90})
    images = Images("registry.example.com/inference:1", weights=settings)
    return dig_dict(render(plan_state(made), images)[-1], "spec", "template", "spec")


class TestWhatAWorkspaceSays:
    """KAITO's fields, and the annotation."""

    def test_the_image_of_a_preset_and_its_secrets(self) -> None:
        options = PresetOptions(image=IMAGE, image_pull_secrets=("reg", "other"))
        assert named_source(Preset(name="phi", preset_options=options), {}) == PULLED

    def test_nothing_is_the_hub(self) -> None:
        assert named_source(Preset(name="phi"), {}) is None

    @pytest.mark.parametrize(
        ("uri", "expected"),
        [
            (f"oci://{IMAGE}", ModelSource(image=IMAGE)),
            (
                "pvc://models/phi/4",
                ModelSource(volume={"persistentVolumeClaim": {"claimName": "models", "readOnly": True}}, path="phi/4"),
            ),
            ("node:///opt/kaito/models/phi/", ModelSource(folder="/opt/kaito/models/phi")),
        ],
    )
    def test_the_annotation(self, uri: str, expected: ModelSource) -> None:
        assert annotated(uri) == expected

    @pytest.mark.parametrize(
        ("uri", "words"),
        [
            ("s3://bucket/x", "must be oci://"),
            ("oci://Not an image", "no reference to an image"),
            ("oci://--flag", "no reference to an image"),
            ("pvc://", "PersistentVolumeClaim"),
            ("pvc://models/../../etc", "PersistentVolumeClaim"),
            ("node:///etc", "lie in folders of /opt/kaito/models"),
            ("node:///opt/kaito/models/../../etc", "lie in folders of"),
            ("node:///opt/kaito/models", "lie in folders of"),
            ("node://opt/kaito/models/x", "lie in folders of"),
        ],
    )
    def test_what_is_wrong_is_said_before_anything_is_bought(self, uri: str, words: str) -> None:
        problem = find_problem(workspace(annotations={ANNOTATION_MODEL_SOURCE: uri}))
        assert problem is not None
        assert problem.reason is Reason.INVALID_SPEC
        assert words in problem.message

    def test_two_places_at_once(self) -> None:
        inference: JsonObject = {"preset": {"name": "phi-4-mini-instruct", "presetOptions": {"image": IMAGE}}}
        for annotation in ({ANNOTATION_MODEL_SOURCE: "oci://x.io/y"}, {ANNOTATION_LOCAL_WEIGHTS: "true"}):
            problem = find_problem(workspace(inference=inference, annotations=annotation))
            assert problem is not None
            assert "keep one of" in problem.message

    def test_pull_secrets_must_exist(self) -> None:
        options = {"image": IMAGE, "imagePullSecrets": ["reg"]}
        spec = workspace(inference={"preset": {"name": "phi-4-mini-instruct", "presetOptions": options}}).spec
        assert spec is not None
        assert list(secret_names(spec, {})) == [("reg", "presetOptions.imagePullSecrets")]

    def test_those_of_adapters_too(self) -> None:
        source = {"name": "a", "image": IMAGE, "imagePullSecrets": ["reg"]}
        spec = workspace(inference={"preset": {"name": "phi-4"}, "adapters": [{"source": source}]}).spec
        assert spec is not None
        assert list(secret_names(spec, {})) == [("reg", "inference.adapters[0].source.imagePullSecrets")]

    @given(st.text(max_size=60))
    def test_any_annotation_is_a_source_or_refused(self, text: str) -> None:
        for uri in (text, f"oci://{text}", f"pvc://{text}", f"node://{text}"):
            try:
                found = annotated(uri)
            except BadSource:
                continue
            assert found is None or ".." not in (found.folder or found.path)
            assert found is None or not (found.image or "").startswith("-")


class TestPod:
    """An init container fetches and looks; the server finds the files under one name."""

    def test_it_pulls_with_the_secrets_which_the_server_does_not_see(self) -> None:
        spec = pod(PULLED)
        (init,) = dig_dicts(spec, "initContainers")
        assert init["args"] == [
            f"--image={IMAGE}",
            "--store=/workspace/weights",
            "--pull-secret=/workspace/pull-secrets/0",
            "--pull-secret=/workspace/pull-secrets/1",
            "--max-gib=90",
            "--into=/workspace/weights/model",
        ]
        volumes = {volume["name"]: volume for volume in dig_dicts(spec, "volumes")}
        assert volumes["pull-secret-0"]["secret"] == {"secretName": "reg", "defaultMode": 0o400}
        (server,) = dig_dicts(spec, "containers")
        assert not [m for m in dig_dicts(server, "volumeMounts") if str(m["name"]).startswith("pull-secret")]

    def test_the_server_serves_the_folder_and_asks_nothing_of_the_hub(self) -> None:
        (server,) = dig_dicts(pod(PULLED), "containers")
        arguments = server["args"]
        assert isinstance(arguments, list)
        assert "--model=/workspace/weights/model" in arguments
        assert "--served-model-name=phi-4-mini-instruct" in arguments
        assert {"name": "HF_HUB_OFFLINE", "value": "1"} in dig_dicts(server, "env")

    def test_from_the_hub_nothing_is_added(self) -> None:
        spec = dig_dict(render(plan_state(), Images("i"))[-1], "spec", "template", "spec")
        assert "initContainers" not in spec

    def test_a_cache_of_the_node_is_written_by_the_init_container_alone(self) -> None:
        spec = pod(PULLED, WeightsSettings(cache="/var/cache/models", image_volumes=False))
        assert {"name": "model-cache", "hostPath": {"path": "/var/cache/models", "type": "DirectoryOrCreate"}} in (
            dig_dicts(spec, "volumes")
        )
        (init,), (server,) = dig_dicts(spec, "initContainers"), dig_dicts(spec, "containers")
        assert {"name": "model-cache", "mountPath": "/workspace/model-cache"} in dig_dicts(init, "volumeMounts")
        assert {"name": "model-cache", "mountPath": "/workspace/model-cache", "readOnly": True} in (
            dig_dicts(server, "volumeMounts")
        )

    def test_image_volumes_where_the_cluster_has_them(self) -> None:
        spec = pod(PULLED, WeightsSettings().on((1, 35)))
        assert {"name": "model-source", "image": {"reference": IMAGE, "pullPolicy": "IfNotPresent"}} in (
            dig_dicts(spec, "volumes")
        )
        assert spec["imagePullSecrets"] == [{"name": "reg"}, {"name": "other"}]
        (init,) = dig_dicts(spec, "initContainers")
        assert init["args"] == ["--folder=/workspace/model-source", "--into=/workspace/weights/model"]

    def test_older_clusters_pull(self) -> None:
        (init,) = dig_dicts(pod(PULLED, WeightsSettings().on((1, 34))), "initContainers")
        assert f"--image={IMAGE}" in str(init["args"])

    def test_a_claim_is_mounted_read_only_at_its_folder(self) -> None:
        spec = pod(annotated("pvc://models/phi") or ModelSource())
        (server,) = dig_dicts(spec, "containers")
        mount = {"name": "model-source", "mountPath": "/workspace/model-source", "readOnly": True, "subPath": "phi"}
        assert mount in dig_dicts(server, "volumeMounts")


class TestDiagnosis:
    """Why the files did not come is what a person reads."""

    LINE = '{"time": "t", "level": "error", "message": "r/m: the registry has no manifest v9. Check name and tag."}'

    @pytest.mark.parametrize("message", [f"first\n{LINE}", "r/m: the registry has no manifest v9. Check name and tag."])
    def test_in_its_own_words(self, message: str) -> None:
        state = {"terminated": {"exitCode": 1, "reason": "Error", "message": message}}
        found = diagnose([self._pod({"waiting": {"reason": "CrashLoopBackOff"}}, state)], 1)
        assert found.reason is Reason.MODEL_NOT_FETCHED
        assert found.message.endswith("for pod w-0. r/m: the registry has no manifest v9. Check name and tag.")

    def test_that_they_are_on_their_way(self) -> None:
        found = diagnose([self._pod({"running": {}}, {})], 1)
        assert (found.reason, found.message) == (
            Reason.INFERENCE_PENDING,
            "The model's files are being fetched and checked.",
        )

    def _pod(self, state: Mapping[str, object], last: Mapping[str, object]) -> Pod:
        status = {"initContainerStatuses": [{"name": "weights", "state": state, "lastState": last}]}
        metadata = {"name": "w-0", "creationTimestamp": "2026-01-01T00:00:00Z"}
        return Pod.model_validate({"metadata": metadata, "spec": {"nodeName": "n"}, "status": status})
