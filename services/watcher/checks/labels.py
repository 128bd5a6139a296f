"""The label selector: labels that nodes get, so it must be a plain map of such. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from services.contracts.labels import is_label_key, tells_of_node
from services.contracts.workspace import ANNOTATION_PROVIDER, PROVIDER_EXISTING, LabelSelector, LabelSelectorOperator

RESERVED = "kaito.sh/"
MOST_LABELS = 50
"""As many as EKS takes for a node group. Plans and demands repeat them."""
_LABEL_VALUE = re.compile(r"(?=.{0,63}$)([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")


def plain_labels(selector: LabelSelector) -> dict[str, str] | None:
    """The selector as a plain map of labels, without keys of our own; None where it is more than that."""
    labels = dict(selector.match_labels or {})
    for expression in selector.match_expressions or ():
        values = expression.values or ()
        if expression.operator is not LabelSelectorOperator.IN or len(values) != 1:
            return None
        if labels.setdefault(expression.key, values[0]) != values[0]:
            return None  # no node carries two values of one label
    return {key: value for key, value in labels.items() if not key.startswith(RESERVED)}


def invalid_labels(selector: LabelSelector, annotations: Mapping[str, str]) -> Iterator[str]:
    """What of the selector cannot be on a node."""
    labels = plain_labels(selector)
    yield from _invalid_selector(labels)
    for key, value in (labels or {}).items():
        yield from _invalid_key(key, annotations.get(ANNOTATION_PROVIDER))
        if not _LABEL_VALUE.fullmatch(value):
            yield (
                f"resource.labelSelector: {value!r} cannot be the value of the label {key} on a node: use at most 63 "
                "letters, digits, dashes, underscores and dots, with a letter or digit at both ends."
            )


def _invalid_selector(labels: Mapping[str, str] | None) -> Iterator[str]:
    if labels is None:
        yield (
            "resource.labelSelector must be a plain map of labels: use matchLabels, or matchExpressions with "
            "operator In and exactly one value, and one value for each label."
        )
    elif not labels:
        yield (
            "resource.labelSelector needs at least one label of your own, such as matchLabels: {apps: my-model}; "
            f"labels under {RESERVED} do not count."
        )
    elif len(labels) > MOST_LABELS:
        yield (
            f"resource.labelSelector has {len(labels)} labels; at most {MOST_LABELS} can be put on a node. One that is "
            "the Workspace's own is enough."
        )


def _invalid_key(key: str, provider: str | None) -> Iterator[str]:
    if not is_label_key(key):
        yield (
            f"resource.labelSelector: {key[:100]!r} cannot be the key of a label: use at most 63 letters, digits, "
            "dashes, underscores and dots, with a letter or digit at both ends, such as team. A domain in small "
            "letters and a slash may stand before it, such as example.com/team."
        )
    elif tells_of_node(key) and provider != PROVIDER_EXISTING:
        yield (
            f"resource.labelSelector: {key} tells what a node is, and is set by Kubernetes and its cloud. Use a label "
            "of your own, such as apps: my-model. To choose among nodes that exist by it, add the annotation "
            f"{ANNOTATION_PROVIDER}: {PROVIDER_EXISTING}."
        )
