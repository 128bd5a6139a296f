"""A real Kubernetes control plane for a whole session, on free ports, in a folder of its own. Each worker has one."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.crds import PLAIN_FILE
from deploy.local.binaries import ensure_control_plane
from deploy.local.controlplane import ControlPlane
from tests.forked import prepare
from tests.sparing import SPARING
from tests.stack import until

Kubectl = Callable[..., Awaitable[str]]


def say(line: str) -> None:
    """Tell whoever looks at the run."""
    sys.stderr.write(f"{line}\n")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def control_plane(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ControlPlane]:
    """Start etcd, API server, controller-manager and scheduler; end all four with the session.

    Its `kubeconfig` is the administrator's. The first session on a machine gets the programs, which may
    take minutes; later ones start in a few seconds.
    """
    prepare()
    binaries = await ensure_control_plane(say)
    plane = await ControlPlane.prepare(binaries, tmp_path_factory.mktemp("kubernetes"), SPARING)
    try:
        await plane.start()
        yield plane
    finally:
        await plane.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def workspace_crd(kubectl: Kubectl) -> None:
    """The definition of Workspace, applied once as the documentation says. No test takes it away."""
    await apply_crd(kubectl)


async def apply_crd(kubectl: Kubectl) -> None:
    """Apply the definition, and wait until the API server serves it."""
    await kubectl("apply", "-f", str(PLAIN_FILE.parent))
    await established(kubectl, "workspaces.kaito.sh")


@pytest.fixture(scope="session")
def kubectl(control_plane: ControlPlane) -> Kubectl:
    """Run kubectl against the control plane: arguments, and what it reads from stdin; returns its stdout."""
    # kubectl keeps a cache in HOME, and in the working folder when there is none.
    home = {"HOME": str(control_plane.config.state), "KUBECONFIG": str(control_plane.kubeconfig)}

    async def run(*arguments: str, stdin: str = "") -> str:
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("kubectl")), *arguments,
            env={"PATH": os.defpath, **home, **SPARING},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, errors = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
        assert process.returncode == 0, f"kubectl {' '.join(arguments)}: {errors.decode()}"
        return output.decode()

    return run


async def established(kubectl: Kubectl, *crds: str) -> None:
    """Wait until the API server serves what the definitions name.

    `kubectl wait` gives up at once when it is faster than the first condition: the server writes `conditions: null`,
    and a JSON path with a filter does not read that either.
    """
    for crd in crds:

        async def answer(crd: str = crd) -> bool:
            found = json.loads(await kubectl("get", "crd", crd, "-o", "json"))
            told = {c["type"]: c["status"] for c in found.get("status", {}).get("conditions") or ()}
            return told.get("Established") == "True"

        await until(answer, 60, f"CRD {crd}")
