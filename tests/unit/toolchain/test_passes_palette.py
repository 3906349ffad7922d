"""Packing of palette indices: what is read back is what was stored, in as few bytes as promised."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[3] / "images/toolchains/torch"))

import palette


@pytest.mark.parametrize(("clusters", "bits"), [(2, 1), (3, 2), (4, 2), (5, 4), (16, 4), (17, 8), (256, 8)])
def test_an_index_takes_the_least_bits(clusters: int, bits: int) -> None:
    assert palette.index_bits(clusters) == bits


@given(st.sampled_from([1, 2, 4, 8]), st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_packed_indices_come_back(bits: int, count: int, seed: int) -> None:
    indices = np.random.default_rng(seed).integers(0, 2**bits, count).astype(np.uint8)
    packed = palette.pack(indices, bits)
    assert len(packed) == -(-count * bits // 8)
    assert (palette.unpack(packed, bits, count) == indices).all()


def test_the_first_index_is_in_the_lowest_bits() -> None:
    assert palette.pack(np.array([1, 15, 2], np.uint8), 4).tolist() == [0xF1, 0x02]
