"""A provisioner with a NATS client and nothing else, as in any language: `python plain_nats.py nats://127.0.0.1:4222`.

Its machines are only acted, and its offers say so. What it does not expect ends it; started again it goes on.
"""

import asyncio
import hashlib
import json
import sys
from datetime import UTC, datetime

import nats
from nats.js.errors import APIError, NotFoundError

NAME, SIZE = "rack", {"instanceType": "rack.l4", "gpus": 1, "gpuModel": "L4", "gpuMemoryGib": 22}
STEPS = {"NodeClaimReady": "NodeClaimsReady", "NodesReady": "NodesReady", "ResourceReady": "ResourceReady"}


async def offer(js: nats.js.JetStreamContext) -> None:
    """Say what can be had. With the first offer the consumer of our demands is made."""
    while True:
        body = {"provider": NAME, "simulated": True, "offers": [SIZE], "publishedAt": datetime.now(UTC).isoformat()}
        await (await js.key_value("OFFERS")).put(NAME, json.dumps(body).encode())
        await asyncio.sleep(20)


def bring(demand: dict) -> list[str]:
    """Make what is missing, delete what is too much, go by the owner's uid alone; here that is done by a word."""
    return [f"{NAME}-{hashlib.sha256(demand['uid'].encode()).hexdigest()[:10]}-{i}" for i in range(demand["nodes"])]


def report(demand: dict, machines: list[str]) -> dict:
    """What there is now. Equal for equal facts: no ages, no counters."""
    ours = {key: demand[key] for key in ("namespace", "name", "uid", "generation", "planRevision", "provider")}
    text = f"Simulated: {len(machines)} of {demand['nodes']} nodes of size {demand['instanceType']} ready"
    said = {"nodes": [{"name": name, "ready": True} for name in machines], "released": not machines}
    steps = [{"type": k, "reason": v, "status": "True", "message": text} for k, v in STEPS.items() if machines]
    return {**ours, **said, "service": "provisioner", "conditions": steps}


async def say(js: nats.js.JetStreamContext, said: dict) -> None:
    """Publish unless the newest report says the same; refused if somebody else has reported since it was read."""
    subject = f"kaito.report.provisioner-{NAME}.{said['namespace']}.{said['name']}"
    try:
        last = await js.get_last_msg("HISTORY", subject, direct=True)
    except NotFoundError:
        last = None
    if last is None or json.loads(last.data) != said:
        body, seq = json.dumps(said).encode(), str(last.seq if last else 0)
        unique = f"{said['uid']}:{said['generation']}:{hashlib.sha256(body).hexdigest()[:32]}:after-{seq}"
        headers = {"Nats-Msg-Id": unique, "Nats-Expected-Last-Subject-Sequence": seq}
        await js.publish(subject, body, stream="HISTORY", headers=headers)


async def handle(js: nats.js.JetStreamContext, message: nats.aio.msg.Msg) -> None:
    """One look at one demand. To be shown it again is how we look again; what cannot be read is put aside."""
    try:
        said = report(demand := json.loads(message.data), bring(demand))
        await say(js, said)
        await (message.ack() if said["released"] else message.nak(delay=10))
    except (ValueError, KeyError, TypeError) as error:
        headers = {"Kaito-Error": repr(error), "Kaito-Error-Type": type(error).__name__}
        headers["Kaito-Original-Subject"] = message.subject
        await js.publish(f"kaito.dlq.provisioner.{message.subject}", message.data, stream="DLQ", headers=headers)
        await message.term()
    except APIError:
        await message.nak(delay=0.2)


async def serve(url: str) -> None:
    """Offer, and handle demands one by one."""
    js = (await nats.connect(url)).jetstream()
    offering = asyncio.create_task(offer(js))
    demands = await js.pull_subscribe_bind(f"provisioner-{NAME}", "DEMANDS")
    while not offering.done():
        try:
            messages = await demands.fetch(1, timeout=5)
        except nats.errors.Error:  # nothing is wanted, or the consumer is not there yet
            await asyncio.sleep(0.2)
        else:
            await handle(js, messages[0])
    await offering


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
