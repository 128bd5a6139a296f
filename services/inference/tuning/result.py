"""The result: a folder with the adapter and a card that says what it is of, brought to a registry or a volume."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from services.inference.oci.client import Registry
from services.inference.oci.credentials import find_credentials, read_configs
from services.inference.oci.errors import Denied, NotFound, OciError, Passing
from services.inference.oci.names import Kind
from services.inference.oci.push import DATA_DIGEST, MODEL_NAME, REVISION, push
from services.inference.oci.reference import Reference, parse_reference
from services.inference.tuning.failure import TuningError
from services.inference.tuning.files import write_whole
from services.inference.tuning.spec import Spec
from services.tuning.exit_codes import ExitCode

FILES: Final = ("adapter_config.json", "adapter_model.safetensors")
_PROBE: Final = "sha256:" + "0" * 64


class Destination:
    """A registry that takes the adapter as an image. Raises TuningError."""

    def __init__(self, image: str, secrets: Sequence[str], *, ca: str | None = None, plain_http: bool = False) -> None:
        try:
            self.reference: Reference = parse_reference(image)
            self._credentials = find_credentials(read_configs(Path(secret) for secret in secrets), self.reference)
        except OciError as error:
            raise TuningError(str(error)) from error
        self._ca = Path(ca) if ca else None
        self._plain_http = plain_http

    def check(self) -> None:
        """Ask for leave to upload before hours are spent on what nobody takes. Nothing is uploaded."""
        try:
            with self._registry() as registry:
                registry.start_upload(_PROBE)
        except (Denied, NotFound) as error:
            raise TuningError(f"The result could not be pushed, so nothing was trained. {error}") from error
        except OciError as error:
            code = ExitCode.PASSES if isinstance(error, Passing) else ExitCode.BAD_INPUT
            raise TuningError(f"The registry of the result: {error}", code) from error

    def push(self, folder: Path, annotations: Mapping[str, str]) -> str:
        """Push a folder; the digest. What refuses now did not before, so it may pass: the result is kept."""
        try:
            with self._registry() as registry:
                return push(registry, folder, Kind.ADAPTER, annotations=annotations).digest
        except OciError as error:
            raise TuningError(
                f"The result is trained and kept, and cannot be pushed: {error}", ExitCode.PASSES
            ) from error

    def _registry(self) -> Registry:
        return Registry(self.reference, self._credentials, plain_http=self._plain_http, ca=self._ca)


def copy_to(folder: Path, target: Path) -> None:
    """Make `target` a copy of a folder: there as a whole, or as it was before."""
    draft, old = target.with_name(f".{target.name}.draft"), target.with_name(f".{target.name}.old")
    for path in (draft, old):
        shutil.rmtree(path, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder, draft)
    for path in draft.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    if target.exists():
        target.rename(old)
    draft.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def annotations_of(spec: Spec, data_digest: str) -> dict[str, str]:
    """What the pushed image says of itself."""
    revision = {REVISION: spec.revision} if spec.revision else {}
    return {MODEL_NAME: spec.name, DATA_DIGEST: data_digest, **revision}


def finish_folder(folder: Path, spec: Spec, data_digest: str, numbers: Mapping[str, object]) -> None:
    """Write the card, and into the adapter's config the model's name instead of this pod's folder."""
    config_file = folder / FILES[0]
    config = json.loads(config_file.read_text())
    config |= {"base_model_name_or_path": spec.name, "revision": spec.revision}
    write_whole(config_file, json.dumps(config, indent=2, sort_keys=True))
    write_whole(folder / "README.md", card(spec, data_digest, numbers))


def card(spec: Spec, data_digest: str, numbers: Mapping[str, object]) -> str:
    """The model card: base, revision, data, settings and what came of it."""
    settings = json.dumps(spec.config.to_sections(), indent=2)
    facts = {
        "Base model": spec.name,
        "Revision": spec.revision or "not pinned",
        "Method": spec.method,
        "Data": data_digest,
        "Steps": numbers.get("steps"),
        "Loss of the last step": numbers.get("loss"),
        "Loss on held-out data": numbers.get("evalLoss", "not measured: train_test_split is 1"),
    }
    head = f"---\nbase_model: {json.dumps(spec.name)}\nlibrary_name: peft\ntags:\n- lora\n---\n\n"
    lines = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    return f"{head}# LoRA adapter for {spec.name}\n\n{lines}\n\n## Settings\n\n```json\n{settings}\n```\n"
