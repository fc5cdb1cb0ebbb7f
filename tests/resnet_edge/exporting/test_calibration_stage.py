"""Passes over the calibration pictures: the same bytes in this process, in others, after a kill."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from calibration_passes import Levels, Mishap

from converters.preprocessing import PREPROCESSINGS
from converters.quantization.calibrated_file import save_calibrated
from converters.quantization.calibration import calibrate
from converters.quantization.picture_pass import Advance, Arrays, PicturePass, run_here
from converters.quantization.settings import Level, QuantizationSettings
from converters.serving import serving_model
from converters.tflite.conversion import convert_float32
from resnet_edge.errors import ModelError, WorkerError
from resnet_edge.exporting import calibration_stage
from resnet_edge.exporting.calibration_stage import LEAST_PIXELS, PassWork, SpreadPasses
from resnet_edge.ondevice.pictures import Pixels
from resnet_edge.scale.engine import Engine, EngineKind
from resnet_edge.scale.running import Computing

TESTS = Path(__file__).resolve().parents[2]
HERE = Engine(EngineKind.LOCAL, 0, 1)
ONE, TWO = (Engine(EngineKind.LOCAL, count, 1) for count in (1, 2))
COUNT = 200
PARTS = tuple(np.random.default_rng(0).permutation(COUNT)[start::3] for start in range(3))


@pytest.fixture(autouse=True)
def passes_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(TESTS))


@pytest.fixture
def pictures(tmp_path: Path) -> Pixels:
    """Pictures of one level each, 0 to 199, mapped from a file."""
    levels = np.arange(COUNT, dtype=np.uint8).reshape(-1, 1, 1, 1)
    np.save(tmp_path / "decoded.npy", np.broadcast_to(levels, (COUNT, 2, 2, 3)))
    found: Pixels = np.load(tmp_path / "decoded.npy", mmap_mode="r")
    return found


class Told:
    """A spread, and what it told and counted."""

    def __init__(self, folder: Path, pictures: Pixels, engine: Engine) -> None:
        self.lines: list[str] = []
        self.steps: list[int] = []
        computing = Computing(engine, self.lines.append)
        self.cache = folder / "cache"
        self.spread = SpreadPasses(folder / "decoded.npy", pictures, self.cache, computing, 0)

    def run(self, work: PicturePass, pictures: Pixels | None = None) -> list[Arrays]:
        given = self.spread.pictures if pictures is None else pictures
        return self.spread(work, given, PARTS, self.steps.append)


def flat(found: list[Arrays]) -> list[object]:
    return [[array.tolist() for array in arrays] for arrays in found]


def expected() -> list[object]:
    return [[[int(part.min()), int(part.max())], len(part)] for part in PARTS]


@pytest.mark.parametrize("engine", [HERE, ONE, TWO], ids=["here", "one", "two"])
def test_the_parts_do_not_depend_on_the_processes(tmp_path: Path, pictures: Pixels, engine: Engine):
    told = Told(tmp_path, pictures, engine)
    assert flat(told.run(Levels())) == expected()
    assert sum(told.steps) == COUNT
    assert told.lines == []
    assert not list(told.cache.rglob("*.*"))  # neither a pass nor shards are left


def test_pictures_that_are_no_file_are_sent_along(tmp_path: Path, pictures: Pixels):
    told = Told(tmp_path, pictures, ONE)
    inverted = 255 - np.asarray(pictures)
    assert flat(told.run(Levels(), inverted)) == [
        [[255 - int(part.max()), 255 - int(part.min())], len(part)] for part in PARTS
    ]


def test_a_killed_process_changes_nothing(tmp_path: Path, pictures: Pixels):
    told = Told(tmp_path, pictures, TWO)
    place = int(PARTS[1][14])  # the third batch of the second part
    assert flat(told.run(Mishap(Levels(), tmp_path / "killed", place))) == expected()
    (line,) = told.lines
    assert line.startswith("calibration: levels, batches of 7: the process was killed by SIGKILL")
    assert line.endswith("; 13 to 16 of 30 are done again")


def test_the_pass_names_its_error(tmp_path: Path, pictures: Pixels):
    told = Told(tmp_path, pictures, ONE)
    with pytest.raises(ModelError, match=r"^a picture of level 150; remove it$"):
        told.run(Levels(poisoned=150))
    assert not list(told.cache.rglob("*.pass"))


def test_what_was_measured_before_an_error_is_not_measured_again(
    tmp_path: Path, pictures: Pixels, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(calibration_stage, "digest", lambda *_: "one key")
    told = Told(tmp_path, pictures, ONE)
    with pytest.raises(ModelError):
        told.run(Levels(poisoned=int(PARTS[2][-1])))
    told.steps.clear()
    assert flat(told.run(Levels())) == expected()
    assert told.steps[0] == COUNT * 28 // 30  # all shards but the last one, of two batches
    assert sum(told.steps) == COUNT


def test_few_pictures_start_no_process(tmp_path: Path, pictures: Pixels):
    told = Told(tmp_path, pictures, TWO)
    told.spread = replace(told.spread, least_pixels=COUNT * 4 + 1)
    assert flat(told.run(Levels())) == expected()
    assert told.steps == [len(part[at : at + 7]) for part in PARTS for at in range(0, len(part), 7)]
    assert not told.cache.exists()
    assert LEAST_PIXELS == 500 * 64 * 64


def test_another_pass_is_refused(tmp_path: Path):
    path = tmp_path / "levels.pass"
    path.write_bytes(pickle.dumps(Levels()))
    with pytest.raises(WorkerError) as caught:
        PassWork(path, "0" * 64).open()
    assert "; expected 0000000000000000, as the export wrote it; share one build" in str(
        caught.value
    )


@pytest.mark.slow
@pytest.mark.parametrize("level", [Level.FAST, Level.EQUALIZED])
def test_a_calibration_has_the_same_bytes(tmp_path: Path, plain_model: Path, level: Level):
    """By processes that load what they need, one of which is killed in the longest pass."""
    import keras

    model = keras.saving.load_model(plain_model, compile=False)
    float32 = convert_float32(serving_model(model, PREPROCESSINGS["torch"]))
    levels = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    levels[:, 0, 0, 0] = np.arange(40)
    np.save(tmp_path / "decoded.npy", levels)
    pictures: Pixels = np.load(tmp_path / "decoded.npy", mmap_mode="r")
    told = Told(tmp_path, pictures, TWO)

    def with_mishaps(
        work: PicturePass, pictures: Pixels, parts: Sequence[np.ndarray], advance: Advance
    ) -> list[Arrays]:
        if work.title not in ("ranges", "extremes"):
            return run_here(work, pictures, parts, advance)
        killed = Mishap(work, tmp_path / "killed", place=int(parts[-1][0]))
        return told.spread(killed, pictures, parts, advance)

    files = []
    for run in (run_here, with_mishaps):
        found = calibrate(float32, pictures, QuantizationSettings(level), spread=run)
        save_calibrated(tmp_path / "quantization.npz", float32, found)
        files.append((tmp_path / "quantization.npz").read_bytes())
    assert files[0] == files[1]
    (line,) = told.lines
    assert "was killed by SIGKILL" in line


def test_parts_are_measured_apart(pictures: Pixels):
    steps: list[int] = []
    assert flat(run_here(Levels(), pictures, PARTS, steps.append)) == expected()
    assert max(steps) == 7
    assert sum(steps) == COUNT
