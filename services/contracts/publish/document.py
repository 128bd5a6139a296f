"""The AsyncAPI 3 document, as a provisioner sees the bus: it receives demands, and sends offers and reports."""

from __future__ import annotations

from typing import Final

from services.contracts import subjects
from services.contracts.publish.schemas import Schema, all_schemas
from services.contracts.subjects import OFFERS_BUCKET, ServiceName, Stream

VERSION: Final = "1.2.0"
"""The contract's version. A change that breaks a provisioner raises the first number, any other the second."""

_SCHEMAS: Final = "#/components/schemas/"
_ADDRESS: Final = ("{provider}", "{namespace}", "{name}")
_PARAMETERS: Final = {
    "provider": {"description": "The provider's name: lower-case letters, digits and hyphens."},
    "namespace": {"description": "The workspace's namespace."},
    "name": {"description": "The workspace's name."},
    "subject": {"description": "The whole subject on which the message came."},
}


def document() -> Schema:
    """The whole document. The same models give the same document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Kaito Bus: the provisioner's contract",
            "version": VERSION,
            "description": "How a provisioner is asked for nodes over NATS JetStream. README.md has the rules.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"nats": {"host": "127.0.0.1:4222", "protocol": "nats", "description": "JetStream must be on."}},
        "channels": _channels(),
        "operations": _operations(),
        "components": {"messages": _messages(), "schemas": all_schemas(_SCHEMAS)},
    }


def _channels() -> Schema:
    provider, namespace, name = _ADDRESS
    return {
        "demands": _channel(
            subjects.demand(*_ADDRESS),
            "Demand",
            {"stream": Stream.DEMANDS, "durableConsumer": subjects.provisioner_consumer(provider)},
        ),
        "reports": _channel(
            subjects.report(ServiceName.PROVISIONER, namespace, name, provider),
            "Report",
            {"stream": Stream.HISTORY, "newest": Stream.REPORTS},
        ),
        "offers": _channel(f"$KV.{OFFERS_BUCKET}.{provider}", "Offers", {"bucket": OFFERS_BUCKET, "key": provider}),
        "deadLetters": _channel(
            subjects.dead_letter(ServiceName.PROVISIONER, "{subject}"), "DeadLetter", {"stream": Stream.DLQ}
        ),
    }


def _channel(address: str, message: str, jetstream: dict[str, str]) -> Schema:
    return {
        "address": address,
        "parameters": {name: text for name, text in _PARAMETERS.items() if f"{{{name}}}" in address},
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "x-jetstream": {key: str(value) for key, value in jetstream.items()},
    }


def _operations() -> Schema:
    return {
        "receiveDemand": _operation("receive", "demands", "Bring the number of nodes to what is demanded."),
        "sendReport": _operation(
            "send", "reports", "Say what there is now, whenever it is something else than before."
        ),
        "sendOffers": _operation("send", "offers", "Say what can be had, at the start and every 20 seconds."),
        "sendDeadLetter": _operation("send", "deadLetters", "Put aside a demand that cannot be read."),
    }


def _operation(action: str, channel: str, summary: str) -> Schema:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary}


def _messages() -> Schema:
    headers: Schema = {
        "Nats-Msg-Id": _text("By it the server knows a repetition within two minutes."),
        "ce-specversion": {"type": "string", "const": "1.0"},
        "ce-id": _text("The same as Nats-Msg-Id."),
        "ce-type": _text("sh.kaito.<message>.v1"),
        "ce-source": _text("Who has sent it."),
        "ce-subject": _text("<namespace>/<name> of the workspace."),
        "ce-datacontenttype": {"type": "string", "const": "application/json"},
        "traceparent": _text("W3C trace context."),
        "Nats-Expected-Last-Subject-Sequence": _text("The sequence in HISTORY of the report that was read before."),
    }
    letter: Schema = {
        "Kaito-Error": _text("What is wrong with the message."),
        "Kaito-Error-Type": _text("What kind of error it is."),
        "Kaito-Original-Subject": _text("Where the message came from."),
    }
    received = {name: text for name, text in headers.items() if name != "Nats-Expected-Last-Subject-Sequence"}
    return {
        "Demand": _message("Demand", received, []),
        "Report": _message("Report", headers, ["Nats-Msg-Id"]),
        "Offers": _message("Offers", {}, []),
        "DeadLetter": {"headers": _headers(letter, list(letter)), "payload": {"description": "As it came."}},
    }


def _message(model: str, headers: Schema, required: list[str]) -> Schema:
    payload: Schema = {"contentType": "application/json", "payload": {"$ref": f"{_SCHEMAS}{model}"}}
    return payload | ({"headers": _headers(headers, required)} if headers else {})


def _headers(properties: Schema, required: list[str]) -> Schema:
    kind: Schema = {"type": "object", "properties": properties}
    return kind | ({"required": required} if required else {})


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}
