"""Fixtures of several packages: tiny photos, tiny models, one finished build, the command line.

Fixtures are lazy: tests that do not ask for a build pay nothing for it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
COLOURS = {"blue": (40, 60, 200), "green": (40, 190, 60), "red": (200, 50, 50)}
FORMATS = "fp32.tflite,int8.tflite,fp32.onnx"
TRAINING = ("--epochs", "30", "--learning-rate", "0.2", "--no-augment")
LATENCY = ("--min-seconds", "0.05", "--min-queries", "8")


@dataclass(frozen=True)
class Ran:
    """A command's exit code and its output."""

    code: int
    out: str
    err: str


@dataclass
class Recorder:
    """A display that keeps what it is told."""

    said: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.warned.append(text)

    @contextmanager
    def bar(self, title: str) -> Iterator[Callable[[int, int], None]]:
        yield lambda done, total, words="": None


def write_photos(root: Path, count: int = 20, seed: int = 0, noise: float = 30.0) -> Path:
    """One folder per colour, ``count`` noisy 32x32 PNG pictures in each."""
    rng = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.clip(rng.normal(colour, noise, (32, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def make_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Make a file or folder once for all of pytest-xdist's processes, then rename it into place."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    target = folder / name
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            beside = folder / f"new-{name}"
            make(beside)
            beside.rename(target)
    return target


@pytest.fixture(scope="session")
def edge_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 pictures in 3 classes that differ by colour. Not to be changed."""
    return make_once(tmp_path_factory, "photos", write_photos)


@pytest.fixture(name="write_photos", scope="session")
def _write_photos() -> Callable[..., Path]:
    return write_photos


@pytest.fixture(scope="session")
def plain_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's own ``.keras`` file: two convolutions, 3 classes, 32x32. Not to be changed."""
    return make_once(tmp_path_factory, "plain.keras", save_plain_model)


def save_plain_model(path: Path) -> None:
    import keras
    from keras import layers

    generator = keras.initializers.GlorotUniform
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(8, 3, strides=2, use_bias=False, kernel_initializer=generator(seed=1)),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(16, 3, strides=2, kernel_initializer=generator(seed=2)),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(
                3, activation="softmax", kernel_initializer=generator(seed=3), name="answer"
            ),
        ],
        name="plain",
    )
    model.save(path)


@pytest.fixture(scope="session")
def edge_model(plain_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network, which says what it expects. Not to be changed."""

    def save(path: Path) -> None:
        import keras

        from resnet_edge.model.model_file import ModelInfo, write_model

        info = ModelInfo("edge", tuple(COLOURS), "unit", "crop", "random")
        write_model(path, keras.saving.load_model(plain_model), info)

    return make_once(tmp_path_factory, "edge.keras", save)


def run_arguments(photos: Path, model: Path, out: Path) -> list[str]:
    """The command line of the tiny build."""
    return [
        *("run", "--data", str(photos), "--weights", str(model), "--out", str(out)),
        *("--formats", FORMATS, "--threads", "1", "--allow-inconclusive", *TRAINING, *LATENCY),
    ]


@pytest.fixture(name="run_arguments", scope="session")
def _run_arguments() -> Callable[[Path, Path, Path], list[str]]:
    return run_arguments


@pytest.fixture(scope="session")
def edge_build(
    edge_photos: Path, edge_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A finished build of three artifacts. Not to be changed: see ``build``."""
    from resnet_edge.cli import main

    def make(out: Path) -> None:
        assert main(run_arguments(edge_photos, edge_model, out)) == 0

    return make_once(tmp_path_factory, "build", make)


@pytest.fixture
def build(edge_build: Path, tmp_path: Path) -> Path:
    """A copy of the finished build, to be changed at will."""
    return Path(shutil.copytree(edge_build, tmp_path / "build"))


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def cli(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Ran]:
    """Run the command line in this process, in an empty folder."""
    from resnet_edge.cli import main

    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")

    def run(*words: str | Path) -> Ran:
        capfd.readouterr()
        code = main([str(word) for word in words])
        captured = capfd.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def command() -> tuple[list[str], dict[str, str]]:
    """The command line in a process of its own: command and environment."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}
    return [sys.executable, "-m", "resnet_edge"], environment


@pytest.fixture
def cli_process(command: tuple[list[str], dict[str, str]], tmp_path: Path) -> Callable[..., Ran]:
    """Run the command line in a process of its own."""
    words, environment = command

    def run(*arguments: str | Path, **variables: str) -> Ran:
        done = subprocess.run(
            [*words, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**environment, **variables},
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run
