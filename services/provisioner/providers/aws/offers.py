"""The sizes that are sold in the region: our table of AWS's GPU machines, less what EC2 does not offer there."""

from __future__ import annotations

import logging
import time
from typing import Final

from pydantic import Field

from services.contracts.base import Contract
from services.contracts.errors import ProviderError
from services.contracts.offers import Offer
from services.provisioner.providers.aws.client import AwsClient
from services.provisioner.skus import load_table

log = logging.getLogger(__name__)

KEEP: Final = 600.0
"""Seconds for which EC2's answer stands. A region gets new sizes a few times a year."""


class _Offering(Contract):
    instance_type: str = Field(alias="InstanceType")


class _Page(Contract):
    offerings: tuple[_Offering, ...] = Field(default=(), alias="InstanceTypeOfferings")
    next_token: str | None = Field(default=None, alias="NextToken")


class RegionOffers:
    """What EC2 does not tell, the table does: a size that is not sold after all is refused when it is asked for."""

    def __init__(self, client: AwsClient) -> None:
        self._client = client
        self._table = load_table("aws")
        self._sold: frozenset[str] | None = None
        self._good_until = float("-inf")
        self._said = ""

    def vendor(self, instance_type: str) -> str:
        """The maker of a size's accelerators; NVIDIA for a size that the table does not have."""
        sku = self._table.get(instance_type.lower())
        return sku.vendor if sku else "nvidia"

    async def get(self) -> tuple[Offer, ...]:
        """The sizes, as far as is known now."""
        if time.monotonic() >= self._good_until:
            await self._refresh()
        return tuple(sku.offer() for name, sku in self._table.items() if self._sold is None or name in self._sold)

    async def _refresh(self) -> None:
        try:
            self._sold = await self._ask()
        except ProviderError as error:
            self._say(error.message)
        else:
            self._good_until = time.monotonic() + KEEP
            self._said = ""

    def _say(self, text: str) -> None:
        """Once for each reason: it is asked again with every publication."""
        if text != self._said:
            known = "the table of all sizes" if self._sold is None else "the last answer"
            log.warning("EC2 does not tell what the region sells, %s is offered: %s", known, text)
            self._said = text

    async def _ask(self) -> frozenset[str]:
        """Ask EC2, page by page, for those of the table that are sold in the region."""
        sold: set[str] = set()
        query: dict[str, object] = {
            "LocationType": "region",
            "Filters": [{"Name": "instance-type", "Values": list(self._table)}],
        }
        while True:
            page = _Page.model_validate(await self._client.ec2("describe_instance_type_offerings", **query))
            sold |= {offering.instance_type for offering in page.offerings}
            if not page.next_token:
                return frozenset(sold)
            query["NextToken"] = page.next_token
