"""The tables of machines: complete, plausible, and plain about what is too old or cannot be used."""

from __future__ import annotations

from datetime import date

import pytest

from presets.prices import load_prices, price_of
from services.scheduler.catalog import Cloud, load_skus
from services.scheduler.facts import Sku

CLOUDS: tuple[Cloud, ...] = ("azure", "aws", "arc")


def sku(cloud: Cloud, name: str) -> Sku:
    return next(row for row in load_skus(cloud) if row.name == name)


@pytest.mark.parametrize(("cloud", "count"), [("azure", 14 + 4 + 3), ("aws", 35), ("arc", 8)])
def test_no_machine_is_missing_or_there_twice(cloud: Cloud, count: int) -> None:
    names = [row.name for row in load_skus(cloud)]
    assert len(names) == len(set(names)) == count


@pytest.mark.parametrize("cloud", CLOUDS)
def test_what_can_run_has_all_that_sizing_needs(cloud: Cloud) -> None:
    for row in load_skus(cloud):
        if row.runnable:
            assert row.vendor == "nvidia"
            assert row.compute_capability is not None
            assert row.gpu_usable_gib is not None
            assert 0.9 * row.gpu_memory_gib <= row.gpu_usable_gib < row.gpu_memory_gib


@pytest.mark.parametrize(
    ("cloud", "name", "total_gib"),
    [
        ("azure", "Standard_NV72ads_A10_v5", 48),
        ("azure", "Standard_ND96asr_A100_v4", 320),
        ("azure", "Standard_NC80adis_H100_v5", 188),
        ("azure", "Standard_ND96isr_H200_v5", 1128),
        ("azure", "Standard_NC64as_T4_v3", 64),
        ("aws", "p4de.24xlarge", 640),
        ("aws", "g6.48xlarge", 192),
        ("aws", "g4ad.16xlarge", 32),
        ("aws", "trn1.32xlarge", 512),
        ("aws", "inf2.24xlarge", 192),
        ("arc", "Standard_NC32_A16", 32),
    ],
)
def test_memory_of_all_gpus_together(cloud: Cloud, name: str, total_gib: float) -> None:
    row = sku(cloud, name)
    assert row.gpus * row.gpu_memory_gib == total_gib


@pytest.mark.parametrize("name", ["Standard_NC6s_v3", "Standard_NC12s_v3", "Standard_NC24s_v3"])
def test_a_retired_machine_says_so_says_it_is_too_old_and_names_a_living_one(name: str) -> None:
    row = sku("azure", name)
    assert row.retired == date(2025, 9, 30)
    assert row.replacement is not None
    assert sku("azure", row.replacement).retired is None
    assert "too old for bfloat16" in row.warnings[0]
    assert row.warnings[1] == f"{name} was retired by its cloud on 2025-09-30; use {row.replacement} instead."


@pytest.mark.parametrize(
    ("cloud", "name"),
    [("azure", "Standard_NG32ads_V620_v1"), ("aws", "g4ad.xlarge"), ("aws", "trn1.2xlarge"), ("aws", "inf2.xlarge")],
)
def test_a_machine_without_an_nvidia_gpu_says_why_it_cannot_be_used(cloud: Cloud, name: str) -> None:
    row = sku(cloud, name)
    assert not row.runnable
    assert "needs NVIDIA CUDA" in (row.because or "")


def test_a_larger_machine_of_a_kind_never_costs_less() -> None:
    for cloud in CLOUDS:
        priced = [(row, cost) for row in load_skus(cloud) if (cost := price_of(row.name).on_demand) is not None]
        for small, less in priced:
            for large, more in priced:
                same = (small.gpu_model, small.gpu_memory_gib) == (large.gpu_model, large.gpu_memory_gib)
                if same and small.gpus < large.gpus and (small.vcpus or 0) <= (large.vcpus or 0):
                    assert less <= more, (small.name, large.name)


def test_every_price_is_that_of_a_known_size_and_says_where_it_comes_from() -> None:
    known = {row.name for cloud in CLOUDS for row in load_skus(cloud)}
    for found in load_prices().values():
        for prices in (found.on_demand, found.spot):
            assert prices.prices.keys() <= known
            assert prices.source
            assert prices.as_of
    note = price_of("standard_nc24ads_a100_v4").note or ""
    assert "as of 2026-11-23" in note


def test_a_spot_machine_costs_less_than_one_on_demand() -> None:
    for cloud, found in load_prices().items():
        for name, spot in found.spot.prices.items():
            assert 0 < spot < found.on_demand.prices[name], (cloud, name)
