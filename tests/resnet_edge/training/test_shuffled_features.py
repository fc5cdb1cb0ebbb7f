import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.training import shuffled_features
from resnet_edge.training.shuffled_features import ShuffledFeatures

BLOCK = 4
"""Features of one channel in a block of these tests."""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(shuffled_features, "BLOCK_BYTES", 4 * BLOCK)


def make_features(count, views=1, window=None):
    """Features say which picture they are of, and by thousands of which view."""
    arrays = [np.arange(count, dtype=np.float32)[:, None] + 1000 * v for v in range(views)]
    if window is None:
        return ShuffledFeatures(arrays)
    return ShuffledFeatures(arrays, window_bytes=4 * window)


def read(features, seed, count, at_once=5):
    features.draw(seed)
    parts = [
        features.read(np.arange(start, min(start + at_once, count)))
        for start in range(0, count, at_once)
    ]
    return (
        np.concatenate([part.features[:, 0] for part in parts]),
        np.concatenate([part.rows for part in parts]),
    )


def test_a_small_set_is_shuffled_as_one_as_ever():
    drawn, rows = read(make_features(20, views=2), 3, 20)
    generator = np.random.default_rng(3)
    order, views = generator.permutation(20), generator.integers(2, size=20)
    assert rows.tolist() == order.tolist()
    assert drawn.tolist() == (order + 1000 * views[order]).tolist()


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(1, 70),
    views=st.integers(1, 3),
    window=st.integers(1, 40),
    at_once=st.integers(1, 30),
    seed=st.integers(0, 99),
)
def test_every_picture_comes_once_whatever_memory_holds(count, views, window, at_once, seed):
    drawn, rows = read(make_features(count, views, window), seed, count, at_once)
    assert sorted(rows) == list(range(count))
    assert (drawn % 1000 == rows).all()
    assert (drawn < 1000 * views).all()


def test_what_is_read_at_once_changes_nothing():
    assert all(
        np.array_equal(one, other)
        for one, other in zip(
            read(make_features(50, 2, 12), 1, 50, at_once=50),
            read(make_features(50, 2, 12), 1, 50, at_once=7),
            strict=True,
        )
    )


def test_seeds_draw_the_order():
    features = make_features(400, window=40)
    first, other, again = (read(features, seed, 400)[1].tolist() for seed in (0, 1, 0))
    assert first == again
    assert first != other


def test_every_window_takes_one_of_as_many_neighbours_as_there_are_windows():
    _, rows = read(make_features(400, window=40), 0, 400)
    for window in rows.reshape(10, 40):
        blocks = sorted(set((window // BLOCK).tolist()))
        assert [block // 10 for block in blocks] == list(range(10))
        assert (np.diff(window) == 1).sum() < 10  # not in the order of the file


def test_blocks_come_from_every_view():
    drawn, _ = read(make_features(400, views=2, window=40), 0, 400)
    assert 100 < (drawn >= 1000).sum() < 300


def test_the_file_is_read_forwards_a_block_at_a_time():
    class Recorded(np.ndarray):
        def __getitem__(self, key):
            asked.append(key)
            return super().__getitem__(key)

    asked = []
    features = np.arange(30, dtype=np.float32)[:, None].view(Recorded)
    read(ShuffledFeatures([features], window_bytes=4 * 16), 0, 30)
    starts = [key.start for key in asked]
    assert all(key.stop - key.start == BLOCK for key in asked)
    assert sorted(starts) == list(range(0, 30, BLOCK))
    assert starts[:4] == sorted(starts[:4])
