"""Who computes, as it is told or by default."""

from __future__ import annotations

import pytest

from resnet_edge.scale import engine
from resnet_edge.scale.engine import MANY_CHECKS, EngineKind, ScaleOptions


@pytest.fixture(params=[1, 2, 64])
def cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(engine, "available_cores", lambda: request.param)
    return int(request.param)


def test_few_pictures_are_checked_in_this_process(cores: int):
    checks = ScaleOptions().for_checks()
    assert checks.starters_for(MANY_CHECKS - 1) == 0
    assert checks.starters_for(MANY_CHECKS) == (0 if cores == 1 else cores)
    assert checks.threads == 1


def test_what_is_told_is_done(cores: int):
    told = ScaleOptions(workers=3).for_checks()
    assert told.starters_for(1) == 3
    assert told.threads == max(1, cores // 3)
    assert ScaleOptions(engine=EngineKind.RAY).for_checks().starters_for(1) == 1


def test_models_take_all_cores_in_this_process(cores: int):
    models, runtimes = ScaleOptions().for_models(), ScaleOptions().for_runtimes()
    assert (models.starters_for(10**6), models.threads) == (0, cores)
    assert (runtimes.starters_for(1), runtimes.threads) == (cores, 1)


def test_pixels_take_processes_where_threads_do_not_get_faster(cores: int):
    pixels = ScaleOptions().for_pixels()
    assert pixels.starters_for(1) == (64 if cores == 64 else 0)
    assert ScaleOptions(workers=2).for_pixels().starters_for(1) == 2
