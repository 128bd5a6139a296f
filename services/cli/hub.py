"""Facts on a model of the hub for whoever is at a command line: the hub is HF_ENDPOINT's, the token HF_TOKEN's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from services.chassis.settings import from_environment
from services.cli.errors import CliError
from services.scheduler.architectures import load_architectures
from services.scheduler.facts import ModelFacts
from services.scheduler.hub.client import HubClient
from services.scheduler.hub.errors import SECRET_FIELD, HubError
from services.scheduler.hub.fetch import Fetched, fetch
from services.scheduler.hub.model_facts import model_facts
from services.scheduler.hub.model_id import is_model_id
from services.scheduler.hub.redirects import BadEndpoint
from services.scheduler.hub.settings import HubSettings


class HubModel(NamedTuple):
    """The facts, and a sentence on where they come from."""

    facts: ModelFacts
    note: str


async def hub_model(model: str, revision: str | None = None, *, any_runtime: bool = False) -> HubModel:
    """Read a model from the hub. Raises CliError with the reason why there are no facts on it.

    With `any_runtime` it may be one that vLLM lacks.
    """
    if not is_model_id(model):
        raise CliError(f"{model[:100]!r} is no id of a model on the hub: write it as organisation/model.")
    settings = from_environment(HubSettings)
    if settings.hf_hub_offline:
        raise CliError("HF_HUB_OFFLINE is set, so no hub is asked.")
    try:
        async with HubClient(settings.hf_endpoint) as hub:
            fetched = await fetch(hub, model, revision, settings.hf_token)
            facts = model_facts(fetched, load_architectures())
            if facts.vllm_lacks and not any_runtime:
                raise CliError(facts.vllm_lacks)
            return HubModel(facts, _note(fetched, hub.address))
    except HubError as error:
        raise CliError(_here(error.message)) from error
    except BadEndpoint as error:
        raise CliError(str(error)) from error


def _here(message: str) -> str:
    """The words for a Workspace as they are at a command line, where the token is in the environment."""
    asked = message.replace(f"name a secret with a token (key HF_TOKEN) in {SECRET_FIELD}", "put a token into HF_TOKEN")
    return asked.replace(f"of the secret in {SECRET_FIELD}", "in HF_TOKEN").replace(SECRET_FIELD, "HF_TOKEN")


def _note(fetched: Fetched, hub: str) -> str:
    """Where the facts come from, and what the weights are made of."""
    types = ", ".join(f"{size / 2**30:.2f} GiB of {dtype}" for dtype, size in fetched.weights.by_dtype.items())
    return f"Read from {hub} on {datetime.now(UTC).date().isoformat()}: {types}."
