"""A provider for machines that a command of yours brings: anything that can be scripted, in any language.

The command in RACK_COMMAND is called with one of three words, and answers with JSON on stdout:

    list            all machines that carry an owner, as a JSON array of instances
    create          reads a spec from stdin, makes the machine of that name or finds it, answers with the instance
    delete NAME     begins to take the machine down; one that is gone is no error

Exit status 0 is success. Another one is a failure, told on stderr: 3 quota, 4 capacity, 5 not allowed, 6 bad request.
"""

from __future__ import annotations

import asyncio
import os
import shlex

from pydantic import TypeAdapter, ValidationError

from services.contracts.errors import FailureCode, ProviderError
from services.contracts.offers import Offer
from services.provisioner.provider import Instance, InstanceSpec, Key
from services.provisioner.registry import Context

INSTANCES = TypeAdapter(tuple[Instance, ...])
CODES = {
    3: FailureCode.QUOTA_EXCEEDED,
    4: FailureCode.INSUFFICIENT_CAPACITY,
    5: FailureCode.UNAUTHORIZED,
    6: FailureCode.INVALID_REQUEST,
}


class Rack:
    """The provider `rack`."""

    name = "rack"
    simulated = False
    owns_nodes = True

    def __init__(self, command: str) -> None:
        self._command = shlex.split(command)

    async def offers(self) -> tuple[Offer, ...]:
        """One size. A GPU's memory is what its driver reports, in GiB."""
        return (Offer(instance_type="rack.l4", gpus=1, gpu_model="L4", gpu_memory_gib=22, cuda_compute_capability=8.9),)

    async def list(self, workspace: Key | None = None) -> tuple[Instance, ...]:
        """All machines, or those of one workspace, whatever its uid."""
        try:
            machines = INSTANCES.validate_json(await self._run("list"))
        except ValidationError as error:
            raise ProviderError(FailureCode.INTERNAL, f"list is not understood: {error}") from error
        return tuple(machine for machine in machines if workspace in (None, machine.owner.key))

    async def create(self, spec: InstanceSpec) -> Instance:
        """Ask for a machine. Its node must join the cluster with `spec.labels` and `spec.taints`."""
        try:
            return Instance.model_validate_json(await self._run("create", stdin=spec.to_json()))
        except ValidationError as error:
            raise ProviderError(FailureCode.INTERNAL, f"create is not understood: {error}") from error

    async def delete(self, instance: Instance) -> None:
        """Ask for a machine to be taken down."""
        await self._run("delete", instance.name)

    async def _run(self, *words: str, stdin: bytes = b"") -> bytes:
        """Run the command to its end; if we are cut off, so is it."""
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(*self._command, *words, stdin=pipe, stdout=pipe, stderr=pipe)
        except OSError as error:
            raise ProviderError(FailureCode.INTERNAL, f"RACK_COMMAND cannot be run: {error}") from error
        try:
            output, errors = await process.communicate(stdin)
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            code = CODES.get(process.returncode, FailureCode.INTERNAL)
            raise ProviderError(code, errors.decode(errors="replace").strip() or f"{words[0]} failed without a word")
        return output


async def make(_context: Context) -> Rack:
    """What the entry point names."""
    return Rack(os.environ["RACK_COMMAND"])
