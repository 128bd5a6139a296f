"""Subjects, streams and durable names: where each message travels and where it is kept.

Workspace names and namespaces are DNS labels, so each fits one subject token.
"""

from __future__ import annotations

from enum import StrEnum

PREFIX = "kaito"
CONFORMANCE = "conformance"
"""The namespace in which the conformance suite demands nodes. There are no Workspaces behind its demands."""


class Stream(StrEnum):
    """The JetStream streams. Every message is published into HISTORY; the others are sourced from it."""

    HISTORY = "HISTORY"
    WORKSPACES = "WORKSPACES"
    PLANS = "PLANS"
    DEMANDS = "DEMANDS"
    REPORTS = "REPORTS"
    DLQ = "DLQ"


OFFERS_BUCKET = "OFFERS"
"""The key-value bucket in which each provider keeps what it can offer, under its own name."""


class ServiceName(StrEnum):
    """The services that publish on the bus."""

    WATCHER = "watcher"
    SCHEDULER = "scheduler"
    PROVISIONER = "provisioner"
    DEPLOYER = "deployer"


def workspace(namespace: str, name: str) -> str:
    """Where the wanted state of a workspace is published."""
    return f"{PREFIX}.workspace.{namespace}.{name}"


def workspace_key(subject: str) -> tuple[str, str]:
    """Namespace and name of the workspace whose wanted state, or plan, travels on a subject."""
    _, _, namespace, name = subject.split(".", 3)
    return (namespace, name)


def plan(namespace: str, name: str) -> str:
    """Where the plan of a workspace is published."""
    return f"{PREFIX}.plan.{namespace}.{name}"


def demand(provider: str, namespace: str, name: str) -> str:
    """Where one provider is told how many nodes a workspace wants of it."""
    return f"{PREFIX}.demand.{provider}.{namespace}.{name}"


def report(service: ServiceName, namespace: str, name: str, provider: str | None = None) -> str:
    """Where a service says what it has for a workspace. Each provider's provisioner has a subject of its own.

    While a workspace moves from one provider to another both report on it, and neither may hide the other.
    """
    reporter = f"{service}-{provider}" if provider else str(service)
    return f"{PREFIX}.report.{reporter}.{namespace}.{name}"


def dead_letter(service: str, subject: str) -> str:
    """Where a message that a service could not read is put: the service, then the subject it came on."""
    return f"{PREFIX}.dlq.{service}.{subject}"


def provisioner_consumer(provider: str) -> str:
    """The durable name from which all replicas of one provider's provisioner pull their demands."""
    return f"provisioner-{provider}"
