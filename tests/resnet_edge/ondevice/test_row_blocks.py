from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.ondevice import row_blocks as row_blocks_module
from resnet_edge.ondevice.row_blocks import all_finite, row_blocks

LENGTHS = st.sampled_from([0, 1, 3, 4, 5, 8, 9, 23])  # around the edges of blocks of 4 rows


@pytest.fixture(autouse=True)
def blocks_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four rows of three numbers are a block."""
    monkeypatch.setattr(row_blocks_module, "NUMBERS", 14)


@settings(deadline=None)
@given(LENGTHS)
def test_blocks_are_the_whole_in_order(count: int):
    array, labels = np.arange(3.0 * count).reshape(count, 3), np.arange(count)
    seen = list(row_blocks(array, labels))
    assert [rows.start for rows, _ in seen] == list(range(0, count, 4))
    assert all(len(block) <= 4 for _, (block, _) in seen)
    if count:
        np.testing.assert_array_equal(np.concatenate([block for _, (block, _) in seen]), array)
        np.testing.assert_array_equal(np.concatenate([part for _, (_, part) in seen]), labels)
        assert seen[-1][0].stop == count


def test_blocks_are_aligned_and_in_c_order():
    raw = np.frombuffer(b"x" + np.arange(30.0).tobytes(), np.uint8)[1:]
    odd = raw.view(np.float64).reshape(10, 3)
    assert not odd.flags.aligned
    for array in (odd, np.asfortranarray(odd)):
        for rows, (block,) in row_blocks(array):
            assert block.flags.aligned
            assert block.flags.c_contiguous
            np.testing.assert_array_equal(block, np.arange(30.0).reshape(10, 3)[rows])


@pytest.mark.parametrize("mode", ["r", "c", "r+"])
def test_mapped_arrays_keep_what_is_in_them(mode: str, tmp_path: Path):
    np.save(tmp_path / "x.npy", np.arange(30.0).reshape(10, 3))
    mapped = np.load(tmp_path / "x.npy", mmap_mode=mode)
    expected = np.arange(30.0).reshape(10, 3)
    if mode != "r":
        mapped[2] = expected[2] = 7.0
    for array in (mapped, np.asarray(mapped)):
        for _ in range(2):
            found = np.concatenate([block for _, (block,) in row_blocks(array)])
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 3, 4, 8])
def test_what_is_not_finite_is_found_in_every_block(bad: float, row: int):
    array = np.zeros((9, 3), np.float32)
    assert all_finite(array)
    array[row, 2] = bad
    assert not all_finite(array)
