"""What the engine's classes say of themselves is read from their source."""

from __future__ import annotations

import pytest

from deploy.local.engine.class_bases import Flags, Source, find_source

MODULES = {
    "e.faces": "class Takes(Protocol):\n    takes: ClassVar[Literal[True]] = True\n",
    "e.plain": "class Plain(nn.Module): ...\nclass Loop(Loop): ...\n",
    "e.one": "from .faces import Takes\nfrom .plain import Plain\nclass One(Plain, Takes, Generic[T]): ...\n",
    "e.two": "from e.one import One as First\nclass Two(First): ...\nclass Refuses(Two):\n    takes = False\n",
    "e.machine": "if amd:\n    from e.plain import Plain as Chosen\nelse:\n    from e.one import One as Chosen\n",
    "e.made": "class Made(make()): ...\nclass Broken(Nowhere): ...\nfrom e.gone import Nowhere\n",
    "e.outside": "from torch import Module\nclass Outside(Module): ...\n",
}


def find(module: str) -> Source:
    if module not in MODULES:
        raise ImportError(module)
    return Source(MODULES[module], module.rpartition(".")[0])


@pytest.mark.parametrize(
    ("module", "name", "expected"),
    [
        ("e.one", "One", True),
        ("e.two", "Two", True),
        ("e.two", "Refuses", False),
        ("e.plain", "Plain", False),
        ("e.outside", "Outside", False),
        ("e.machine", "Chosen", True),
        ("e.made", "Made", None),
        ("e.made", "Broken", None),
        ("e.plain", "Loop", None),
        ("e.plain", "Absent", None),
        ("e.absent", "Absent", None),
    ],
)
def test_a_flag_is_found_wherever_a_class_has_it_from(module: str, name: str, expected: bool | None) -> None:
    assert Flags("takes", "e", find).of(module, name) is expected


def test_a_source_is_found_without_importing_what_is_around_it() -> None:
    package, module = find_source("tests.unit"), find_source("tests.unit.test_class_bases")
    assert package.package == module.package == "tests.unit"
    assert "without_importing" in module.text
    with pytest.raises(OSError, match="no_such"):
        find_source("tests.no_such")
