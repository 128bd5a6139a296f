"""What a class says of itself, from its source: modules are parsed, and none is imported.

Runs in the engine's environment. To import the engine's classes takes minutes and libraries that it may lack.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import NamedTuple


class Source(NamedTuple):
    """The text of a module, and the package against which its relative imports go."""

    text: str
    package: str


class Parsed(NamedTuple):
    """A module's classes, and what it imports: modules and names, several where they depend on the machine."""

    classes: dict[str, ast.ClassDef]
    imported: dict[str, list[tuple[str, str]]]


def find_source(module: str) -> Source:
    """The source of a module that is installed. Raises ImportError and OSError.

    Only the outermost package is looked for: to find a module within it, Python would import what is around it.
    """
    root, *parts = module.split(".")
    spec = find_spec(root)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"there is no package {root}")
    path = Path(spec.submodule_search_locations[0], *parts)
    if path.is_dir():
        return Source((path / "__init__.py").read_text(encoding="utf-8"), module)
    return Source(path.with_suffix(".py").read_text(encoding="utf-8"), module.rpartition(".")[0])


class Flags:
    """Looks for a flag, such as `supports_lora = True`, in classes and in those that they are made from."""

    def __init__(self, flag: str, root: str, find: Callable[[str], Source] = find_source) -> None:
        """Classes of packages other than `root` are taken not to have it."""
        self._flag = flag
        self._root = root
        self._parse = lru_cache(maxsize=None)(lambda module: parse(find(module)))

    def of(self, module: str, name: str) -> bool | None:
        """The flag of a class; None where that cannot be told."""
        try:
            return self._of(module, name)
        except (ImportError, OSError, SyntaxError, RecursionError):
            return None

    def _of(self, module: str, name: str) -> bool | None:
        if module.partition(".")[0] != self._root:
            return False
        parsed = self._parse(module)
        if found := parsed.classes.get(name):
            own = self._own(found)
            return own if own is not None else _any(self._base(module, base, parsed) for base in found.bases)
        origins = parsed.imported.get(name)
        return _any(self._of(*origin) for origin in origins) if origins else None

    def _own(self, found: ast.ClassDef) -> bool | None:
        for statement in found.body:
            targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
            value = getattr(statement, "value", None)
            if isinstance(value, ast.Constant) and any(isinstance(t, ast.Name) and t.id == self._flag for t in targets):
                return bool(value.value)
        return None

    def _base(self, module: str, base: ast.expr, parsed: Parsed) -> bool | None:
        while isinstance(base, ast.Subscript):
            base = base.value
        if isinstance(base, ast.Attribute):
            return False  # nn.Module and its like
        if not isinstance(base, ast.Name):
            return None
        if base.id in parsed.classes or base.id in parsed.imported:
            return self._of(module, base.id)
        return False  # a builtin


def _any(answers: Iterable[bool | None]) -> bool | None:
    """One that has the flag is enough, and one that cannot be told leaves it open."""
    known = set(answers)
    return True if True in known else None if None in known else False


def parse(source: Source) -> Parsed:
    """Read a module. Raises SyntaxError."""
    classes: dict[str, ast.ClassDef] = {}
    imported: dict[str, list[tuple[str, str]]] = {}
    for node in ast.walk(ast.parse(source.text)):
        if isinstance(node, ast.ClassDef):
            classes.setdefault(node.name, node)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                origin = resolve_name("." * node.level + origin, source.package)
            for alias in node.names:
                imported.setdefault(alias.asname or alias.name, []).append((origin, alias.name))
    return Parsed(classes, imported)
