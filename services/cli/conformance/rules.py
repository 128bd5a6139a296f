"""The sentences of the contract that the suite holds a provisioner to, as `docs/contract/README.md` has them."""

from __future__ import annotations

from enum import StrEnum


class Rule(StrEnum):
    """One sentence each. A breach names it, so that its reader finds the place."""

    OFFERS = "Put them at the start, when they change, and every 20 seconds."
    OFFERS_SHAPE = "Memory is in GiB as the GPU's driver reports it, prices are US dollars an hour."
    SAME_DEMAND = "The same demand twice, late, or to two processes at once, gives the same nodes."
    NEWEST = "The newest wins."
    OLDER = "One of a lower generation or planRevision than you have seen of the same uid is dropped."
    LET_GO = "Take everything of that workspace down, then report released: true."
    UNREADABLE = "it cannot be read: copy it to DLQ with Kaito-Error, Kaito-Error-Type, Kaito-Original-Subject"
    CRASH = "it is how a crash is survived."
    QUICKLY = "Report within 5 seconds of anything new"
    ONCE = "Say the same only once"
    REPEAT = "Repeat uid, generation, planRevision and provider of the demand."
    CONDITIONS = "NodesReady (all nodes are Ready, labelled, and show their GPUs)"
    REASONS = "A reason is CamelCase"
    NONE_OF_ZERO = "None for a demand of 0."
    NODES = "one entry for each machine, under the node's name once it has joined."
    FAILURE = "what stands in the way, with one of the codes below and the cloud's own words"
    RETRY_AFTER = "keep to Retry-After"
    PHASES = "start and end of each step of each machine"
    RELEASED = "nothing is left, neither machine nor node."
    DEADLINES = "A machine has 5 minutes to launch, and its node 15 to be ready, both from its creation."
    LATE = "Success after the deadline is either kept or taken down, never forgotten."
    MESSAGE_ID = "You must send the first."
    CLOUD_EVENTS = "CloudEvents 1.0."
    TRACE = "W3C trace context."
    SCHEMA = "what it says there is"
    OTHERS = "subject kaito.demand.<provider>.<namespace>.<name>, stream DEMANDS, consumer provisioner-<provider>"
    REPLACED = "A demand is a state, not a step"
