"""KAITO 0.12's estimate for the same starts, to see what a model of the parts is worth.

It reckons with 0.84 of a GPU's whole GiB, 1.02 times the weights in files and 5 % of them for what grows with them,
2.3 GiB for everything else, and a cache of 2 x key-value heads x head size x layers x 2 bytes a token, whatever the
kinds of the layers (MLA: one latent vector). What that leaves is the cache it counts on.
"""

from __future__ import annotations

from math import floor

from services.scheduler.memory import GIB
from services.scheduler.memory_weights import stored_bytes
from services.scheduler.shapes import Shapes
from tests.measured.rows import Measured, shapes_of

UTILIZATION, LOADED, OVERHEAD, RESERVE_GIB = 0.84, 1.02, 1.05, 2.3


def kaito_tokens(row: Measured) -> int:
    """Tokens of cache that are left of the share of the GPU that was given, by KAITO's formula.

    KAITO fixes the share at 0.84; here it gets the one that was measured with where that is smaller.
    """
    shapes = shapes_of(row)
    share = min(UTILIZATION, row.utilization)
    left = share * floor(row.total_gib) - RESERVE_GIB - OVERHEAD * LOADED * stored_bytes(shapes) / GIB
    return max(0, int(left * GIB / _token_bytes(shapes)))


def _token_bytes(shapes: Shapes) -> int:
    if shapes.latent:
        return shapes.layers * shapes.latent.width * 2
    heads = shapes.attention
    assert heads
    return 2 * heads.kv_heads * heads.head_dim * shapes.layers * 2
