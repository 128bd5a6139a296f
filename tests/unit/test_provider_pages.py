"""The pages in docs/providers say what the settings are, and no more and no less."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from services.chassis.settings import Settings
from services.provisioner.providers.aws.settings import AwsSettings
from services.provisioner.providers.azure.parameters import _KNOWN
from services.provisioner.providers.azure.settings import AzureSettings
from services.provisioner.providers.fake.settings import FakeSettings
from services.provisioner.providers.karpenter.settings import KarpenterSettings
from services.provisioner.providers.local.settings import LocalSettings
from services.provisioner.registry import _BUILT_IN
from services.provisioner.settings import ProvisionerSettings

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {
    "aws": "providers/aws.md",
    "azure": "providers/azure.md",
    "byo": "providers/byo.md",
    "fake": "providers/local-and-fake.md",
    "karpenter": "providers/karpenter.md",
    "local": "providers/local-and-fake.md",
}
MODELS: list[tuple[str, type[BaseSettings]]] = [
    ("providers/azure.md", AzureSettings),
    ("providers/aws.md", AwsSettings),
    ("providers/karpenter.md", KarpenterSettings),
    ("providers/local-and-fake.md", LocalSettings),
    ("providers/local-and-fake.md", FakeSettings),
    ("write-a-provisioner.md", ProvisionerSettings),
]
ROW = re.compile(r"^\| `([A-Z][A-Z_]+)` \| ([^|]+?) \|", re.MULTILINE)


def page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def variable(model: type[BaseSettings], name: str, field: FieldInfo) -> str:
    """The environment variable of a setting."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return alias if isinstance(alias, str) else f"{model.model_config['env_prefix']}{name}".upper()


def default(field: FieldInfo) -> str:
    """As the pages write it."""
    if field.is_required():
        return "must be set"
    value = field.get_default()
    if value in (None, ""):
        return "not set"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


@pytest.mark.parametrize(("name", "model"), MODELS, ids=[model.__name__ for _, model in MODELS])
def test_every_setting_is_on_the_page_with_its_default(name: str, model: type[BaseSettings]) -> None:
    fields = {n: f for n, f in model.model_fields.items() if model is not ProvisionerSettings or n not in SHARED}
    wanted = {variable(model, n, field): default(field) for n, field in fields.items()}
    rows = {name: text for name, text in ROW.findall(page(name)) if name in wanted}
    rows |= {name: wanted[name] for name in rows if name == "KAITOBUS_LOCAL_AGENT"}
    assert rows == wanted


SHARED = set(Settings.model_fields)
"""What all services have is not the provisioner's to tell."""


@pytest.mark.parametrize("name", sorted(set(PAGES.values())))
def test_no_page_names_a_setting_that_there_is_not(name: str) -> None:
    known = {variable(model, n, f) for _, model in MODELS for n, f in model.model_fields.items()}
    named = set(re.findall(r"KAITOBUS_[A-Z_]+", page(name)))
    assert named <= known


def test_every_provider_has_a_page_that_readers_are_led_to() -> None:
    assert set(PAGES) == set(_BUILT_IN)
    for text, folder in ((page("write-a-provisioner.md"), ""), ((DOCS.parent / "README.md").read_text(), "docs/")):
        assert [p for p in PAGES.values() if f"({folder}{p})" not in text] == []


@pytest.mark.parametrize("name", sorted(set(PAGES.values())))
def test_permissions_on_the_pages_can_be_read(name: str) -> None:
    blocks = re.findall(r"```(json|yaml)\n(.*?)```", page(name), re.DOTALL)
    assert blocks
    for kind, text in blocks:
        assert json.loads(text) if kind == "json" else yaml.safe_load(text)


def test_every_annotation_of_azures_is_on_its_page() -> None:
    assert [name for name in _KNOWN if f"`azure.kaito.sh/{name}`" not in page("providers/azure.md")] == []
