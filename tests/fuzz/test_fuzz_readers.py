"""A few seconds of what ``make fuzz`` does: every reader names damage in one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz_corpus import make_corpus
from fuzz_targets import TARGETS, Target, try_one
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SLOW = {".keras, loaded", "artifact, run", "report", "recommend", "compare", "device's result"}
"""Readers that take more than milliseconds, or need what a device made; ``make fuzz`` has them."""


@pytest.fixture(scope="session")
def corpus(edge_build: Path, edge_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    make_corpus(folder, edge_build, edge_photos)
    return folder


@pytest.mark.parametrize("target", [t for t in TARGETS if t.name not in SLOW], ids=lambda t: t.name)
def test_damage_ends_in_a_clear_error(target: Target, corpus: Path, edge_build: Path):
    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(random=st.randoms(use_true_random=True))
    def run(random) -> None:
        case = try_one(target, corpus, edge_build, random)
        assert not case.is_fault, case

    run()


def test_every_reader_has_whole_files(corpus: Path):
    missing = {t.name for t in TARGETS if not any(list(corpus.glob(g)) for g in t.files)}
    assert missing <= {"device's result"}
