"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Output(StrEnum):
    """How a result is written."""

    TEXT = "text"
    JSON = "json"


class TableOutput(StrEnum):
    """How a list is written."""

    TEXT = "text"
    WIDE = "wide"
    JSON = "json"


Workspace = Annotated[str, typer.Argument(metavar="WORKSPACE", help="Name of the Workspace.", show_default=False)]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the Workspace.")]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="text, or json for programs.")]
