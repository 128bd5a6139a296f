"""An annotation that a provider does not know is refused: it may be a misspelt one, and money may hang on it."""

from __future__ import annotations

import pytest

from services.contracts.errors import FailureCode, ProviderError
from services.provisioner.parameters import refuse_unknown
from services.provisioner.providers.aws import nodegroup
from services.provisioner.providers.karpenter.claim import new_claim
from services.provisioner.providers.karpenter.node_class import KNOWN
from tests.unit.test_karpenter_claims import SPEC


def test_what_is_known_is_taken() -> None:
    refuse_unknown("aws", {"capacity-type": "spot"}, ("capacity-type", "zone"))


def test_what_is_not_is_told_with_what_there_is() -> None:
    with pytest.raises(ProviderError) as caught:
        refuse_unknown("aws", {"capacity-type": "spot", "spot": "true"}, ("zone", "capacity-type"))
    assert caught.value.code is FailureCode.INVALID_REQUEST
    assert str(caught.value).endswith("aws.kaito.sh/spot: is not known; there are capacity-type, zone")


def test_karpenter_is_not_asked_for_spot_in_azures_words() -> None:
    asked = SPEC.model_copy(update={"parameters": {"spot": "true"}})
    with pytest.raises(ProviderError, match=r"karpenter\.kaito\.sh/spot: is not known; there are capacity-type, zone"):
        new_claim(asked, KNOWN["EC2NodeClass"])


def test_nor_is_aws() -> None:
    with pytest.raises(ProviderError, match=r"aws\.kaito\.sh/spot: is not known; there are capacity-type"):
        nodegroup.capacity({"spot": "maybe"})
