"""`kaitobus pack`: makes an image of a model's files, in a registry."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import Output, OutputOption

# typer reads these two at once; they cost nothing to import.
from services.inference.oci.names import Kind
from services.inference.oci.pack_format import Format

if TYPE_CHECKING:
    from services.inference.oci.client import Registry
    from services.inference.oci.credentials import Credentials
    from services.inference.oci.push import Pushed
    from services.inference.oci.reference import Reference

MODEL = typer.Argument(metavar="MODEL", help="A folder with the files, or an id of the Hugging Face hub (org/model).")
REFERENCE = typer.Argument(metavar="REF", help="Where to push it, such as registry.example.com/team/model:v1.")

PASSWORD = typer.Option("--password-stdin", help="Read the password from standard input.")
MOUNT = typer.Option(help="Repository of the same registry to take layers over from.")
CA = typer.Option(help="File of the authorities that sign the registry's certificate.")


def pack(
    model: Annotated[str, MODEL],
    ref: Annotated[str, REFERENCE],
    revision: Annotated[str | None, typer.Option(help="Commit, tag or branch of the hub.", show_default="main")] = None,
    kind: Annotated[Kind, typer.Option(help="What the files are.")] = Kind.MODEL,
    how: Annotated[
        Format, typer.Option("--format", help="image: clusters can mount it. artifact: plain files, as ORAS has them.")
    ] = Format.IMAGE,
    username: Annotated[str | None, typer.Option(help="User of the registry.", show_default="Docker's config")] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    mount_from: Annotated[
        str | None, typer.Option(help="Repository of the same registry to take layers over from.")
    ] = None,
    plain_http: Annotated[bool, typer.Option("--plain-http", help="Speak HTTP to the registry.")] = False,
    ca: Annotated[
        Path | None, typer.Option(help="File of the authorities that sign the registry's certificate.")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Push a model's files to a registry, as an image that a Workspace can name. Only safetensors are packed."""
    from services.cli.errors import CliError
    from services.cli.view.pack import show_pushed
    from services.inference.oci.client import Registry
    from services.inference.oci.errors import OciError
    from services.inference.oci.reference import parse_reference

    try:
        reference = parse_reference(ref)
        known = _credentials(reference, username, password_stdin)
        folder, annotations = _files(model, revision, kind)
        with Registry(reference, known, plain_http=plain_http, ca=ca) as registry:
            pushed = _push(registry, folder, kind, how, mount_from, annotations)
    except OciError as error:
        raise CliError(str(error)) from error
    except OSError as error:
        raise CliError(f"The files cannot be read: {error}.") from error
    show_pushed(reference, pushed, annotations, as_json=output is Output.JSON)


def _credentials(reference: Reference, username: str | None, password_stdin: bool) -> Credentials | None:
    """Those of the command line, else Docker's."""
    from services.cli.docker_login import docker_credentials
    from services.cli.errors import CliError
    from services.inference.oci.credentials import Credentials

    if (username is None) == password_stdin:
        raise CliError("--username and --password-stdin belong together: echo $PASSWORD | kaitobus pack ...")
    if username is None:
        return docker_credentials(reference)
    return Credentials(username, sys.stdin.readline().rstrip("\r\n"))


def _files(model: str, revision: str | None, kind: Kind) -> tuple[Path, dict[str, str]]:
    """The folder with the files, and what the image says of them."""
    from services.cli.errors import CliError
    from services.cli.hub_files import fetch_files, is_hub_id
    from services.inference.oci.push import MODEL_NAME, REVISION

    if Path(model).is_dir():
        if revision:
            raise CliError(f"{model} is a folder; --revision is for models of the hub.")
        return Path(model), {MODEL_NAME: Path(model).resolve().name}
    if not is_hub_id(model):
        raise CliError(f"There is no folder {model}, and it is no id of the hub, which would be org/model.")
    found = fetch_files(model, revision, kind)
    return found.folder, {MODEL_NAME: model, REVISION: found.revision}


def _push(
    registry: Registry, folder: Path, kind: Kind, how: Format, mount_from: str | None, annotations: dict[str, str]
) -> Pushed:
    from services.cli.view.pack import progress_bar
    from services.inference.oci.push import push

    with progress_bar("pushing") as progress:
        return push(registry, folder, kind, annotations=annotations, how=how, mount_from=mount_from, progress=progress)
