"""The faults that a provider's cloud can be made to show, so that the suite can ask how they are reported."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from services.contracts.base import Contract


class FaultName(StrEnum):
    """The faults that scenarios ask for; the keys of a faults file."""

    QUOTA = "quota"
    CAPACITY = "capacity"
    THROTTLING = "throttling"
    UNAUTHORIZED = "unauthorized"
    LATE = "late"
    CRASH = "crash"
    VANISH = "vanish"


class Fault(Contract):
    """How a fault is brought about: by a demand's `parameters` or `instanceType`, or by commands around it.

    Commands are run by a shell: `before` the demand (`vanish`: once the node is ready), and `after` the fault has been
    reported (`crash`: at the end). A fault that this provider cannot have is not asked for, and `cannot` says why: it
    stands in the table instead of a result.
    """

    model_config = ConfigDict(extra="forbid")

    parameters: dict[str, str] = Field(default_factory=dict)
    instance_type: str | None = None
    before: str | None = None
    after: str | None = None
    cannot: str | None = None


Faults = Mapping[FaultName, Fault]
_FILE: Final = TypeAdapter(dict[FaultName, Fault])

_FAKE: Final = {
    FaultName.QUOTA: {"fail": "QuotaExceeded"},
    FaultName.CAPACITY: {"fail": "InsufficientCapacity"},
    FaultName.UNAUTHORIZED: {"fail": "Unauthorized"},
    FaultName.THROTTLING: {"fail": "Throttled", "fail-times": "1", "retry-after": "3"},
    FaultName.LATE: {"late-seconds": "5"},
    FaultName.VANISH: {"vanish-after-seconds": "1"},
}
_BYO: Final = {
    FaultName.QUOTA: "nodes that exist have no quota",
    FaultName.UNAUTHORIZED: "no cloud is asked; what is allowed in the cluster, its roles say",
    FaultName.THROTTLING: "no cloud is asked",
    FaultName.LATE: "a node that exists is claimed at once",
    FaultName.CRASH: "to claim a node is one write, after which nothing is left to do",
}
_LOCAL: Final = {
    FaultName.QUOTA: "this machine has no quota",
    FaultName.UNAUTHORIZED: "no cloud is asked",
    FaultName.THROTTLING: "no cloud is asked",
    FaultName.LATE: "this machine is there",
    FaultName.CRASH: "a machine is recorded before its agent is started",
    FaultName.VANISH: "an agent that ends is started again, and its node stays",
}
BUILT_IN: Final[Mapping[str, Faults]] = {
    "fake": {name: Fault(parameters=parameters) for name, parameters in _FAKE.items()},
    "byo": {name: Fault(cannot=why) for name, why in _BYO.items()},
    "local": {name: Fault(cannot=why) for name, why in _LOCAL.items()}
    | {FaultName.CAPACITY: Fault(instance_type="local-1048576gi")},
}
"""What the suite knows of providers by itself. A crash is asked for only by a file: somebody must start it again."""


class BadFaults(Exception):
    """The faults file cannot be read; the message says why."""


def read_faults(path: Path) -> Faults:
    """Read a faults file, YAML or JSON. Raises `BadFaults`."""
    try:
        return _FILE.validate_python(yaml.safe_load(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadFaults(f"{path} cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise BadFaults(f"{path}: {'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}") from error
