"""Whether a Job has come to its end, well or not. Pure.

Kubernetes says so twice: first that it is decided, while pods are still being ended, then that it is done.
"""

from __future__ import annotations

from services.chassis.kube import JsonObject, dig_dicts, dig_str


def is_complete(job: JsonObject | None) -> bool:
    """Whether it has done what it was made for."""
    return _says(job, "SuccessCriteriaMet", "Complete")


def is_failed(job: JsonObject | None) -> bool:
    """Whether it will not be tried again."""
    return _says(job, "FailureTarget", "Failed")


def _says(job: JsonObject | None, *types: str) -> bool:
    conditions = dig_dicts(job, "status", "conditions")
    return any(dig_str(c, "type") in types and dig_str(c, "status") == "True" for c in conditions)
