"""What stands between this process and EKS that only a person can change: for readiness."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from services.contracts.errors import FailureCode, ProviderError

LIST: Final = "list_nodegroups"
_MISCONFIGURED: Final = {
    LIST: (FailureCode.UNAUTHORIZED, FailureCode.NOT_FOUND, FailureCode.INVALID_REQUEST),
    "describe_nodegroup": (FailureCode.UNAUTHORIZED,),
}
"""The calls that nothing works without, and what of their errors is a wrong setting: credentials, a permission, the
cluster's name, the region. That a group is not found says only that it has gone.
"""


class Standing:
    """What the last calls have said. A list that works takes back what was said before."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    @property
    def problem(self) -> str | None:
        """In AWS's words; None if nothing is wrong."""
        return next(iter(self._found.values()), None)

    @contextmanager
    def noted(self, operation: str) -> Iterator[None]:
        """Take note of how a call to EKS ends. Trouble that passes is none of a person's, and takes nothing back."""
        try:
            yield
        except ProviderError as error:
            if error.code in _MISCONFIGURED.get(operation, ()):
                self._found[operation] = error.message
            raise
        if operation == LIST:
            self._found.clear()
