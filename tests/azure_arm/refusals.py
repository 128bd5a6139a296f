"""What Azure may refuse, as it says it: for each the kind of call, the status, the code and the words."""

from __future__ import annotations

from tests.azure_arm.script import Play, Script

REFUSALS = {
    "permission": ("create", 403, "AuthorizationFailed", "The client does not have authorization to perform action"),
    "region": ("create", 400, "LocationNotAvailableForResourceType", "The provided location is not available"),
    "quota": ("create", 400, "QuotaExceeded", "exceeding approved standardNCADSA100v4Family Cores quota"),
    "capacity": ("create", 409, "SkuNotAvailable", "The requested size is currently not available in eastus"),
    "subnet": ("create", 400, "SubnetIsFull", "Subnet nodes has no room for 31 addresses"),
    "policy": ("create", 403, "RequestDisallowedByPolicy", "was disallowed by policy 'no GPUs'"),
    "clock": ("list", 401, "InvalidAuthenticationToken", "The access token is not yet valid"),
}


def refuse(script: Script, what: str) -> None:
    """From now on it is refused so."""
    kind, status, code, message = REFUSALS[what]
    script.always(kind, Play(status, {"error": {"code": code, "message": message}}))


def fall_silent(script: Script) -> None:
    """No call is answered any more."""
    for kind in ("token", "list", "get", "create", "delete"):
        script.always(kind, Play(None))
