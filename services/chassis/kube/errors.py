"""What the API server answers when it refuses, and what is raised when it does not answer."""

from __future__ import annotations

import json

from services.chassis.kube.objects import dig_int, dig_str


class KubeError(Exception):
    """A call to the API server failed.

    `status` is the HTTP status (0 when there was no answer), `reason` is Kubernetes' own word for it (such as
    "AlreadyExists"), `message` is the server's own sentence. `retry_after`: seconds the server asks to wait.
    """

    def __init__(self, status: int, reason: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(f"{reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    @property
    def passes(self) -> bool:
        """Whether the same call may succeed later with nobody changing anything."""
        return self.status in (0, 429, 500, 502, 503, 504)


class NotFound(KubeError):
    """404: no such object, or no such resource (the CRD is not installed)."""


class Conflict(KubeError):
    """409: the object exists already, changed since it was read, or has another uid. `reason` says which."""


class Forbidden(KubeError):
    """401 or 403: the credentials are not accepted, or RBAC does not allow it."""


class Invalid(KubeError):
    """400 or 422: the object or the patch breaks a rule. `message` names the field."""


class Gone(KubeError):
    """410: the resourceVersion or the continue token is too old. List again."""


class Unreachable(KubeError):
    """No answer: refused, closed, timed out, or TLS failed. Status is 0."""

    def __init__(self, message: str, *, reason: str = "Unreachable") -> None:
        super().__init__(0, reason, message)


class BadKubeconfig(KubeError):
    """There is no usable configuration to reach a cluster. Status is 0; waiting does not help."""

    def __init__(self, message: str) -> None:
        super().__init__(0, "BadKubeconfig", message)

    @property
    def passes(self) -> bool:
        """A configuration does not mend itself."""
        return False


_BY_STATUS: dict[int, type[KubeError]] = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
}


def error_from_status(body: object, *, http_status: int = 0, retry_after: float | None = None) -> KubeError:
    """The error in a metav1.Status, from a refused call or from an ERROR line of a watch."""
    code = dig_int(body, "code") or http_status or 500
    reason = dig_str(body, "reason") or f"HTTP{code}"
    message = dig_str(body, "message") or "the API server gave no message"
    wait = retry_after if retry_after is not None else dig_int(body, "details", "retryAfterSeconds")
    return _BY_STATUS.get(code, KubeError)(code, reason, message, retry_after=wait)


def error_from_response(status: int, body: bytes, retry_after: str | None) -> KubeError:
    """The error of a refused call. Something in front of the server may have answered without JSON."""
    try:
        parsed: object = json.loads(body)
    except ValueError:
        parsed = {"message": body[:300].decode(errors="replace").strip()}
    seconds = float(retry_after) if retry_after and retry_after.isdigit() else None
    return error_from_status(parsed, http_status=status, retry_after=seconds)
