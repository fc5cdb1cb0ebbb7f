import hashlib
import importlib.util
import io
import re
import zipfile
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

PROJECT = Path(__file__).parent.parent
DIGITS = PROJECT / "calibration_data" / "digits.zip"


@pytest.fixture(scope="module")
def make_digits() -> ModuleType:
    pytest.importorskip("sklearn", reason="scikit-learn, of the extra `dev`, is not installed")
    path = PROJECT / "benchmarks" / "make_digits.py"
    spec = importlib.util.spec_from_file_location("make_digits", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_same_bytes_when_made_again(make_digits):
    assert make_digits.digits_zip() == DIGITS.read_bytes()


def test_pictures_are_the_data_sets(make_digits):
    digits = make_digits.load_digits()
    with zipfile.ZipFile(DIGITS) as archive:
        for i in (0, 1, 1796):
            with Image.open(io.BytesIO(archive.read(f"{digits.target[i]}/{i:04d}.png"))) as image:
                assert (image.format, image.mode, image.size) == ("PNG", "L", (8, 8))
                image.load()
                np.testing.assert_allclose(np.asarray(image), digits.images[i] * 255 / 16, atol=0.5)


def test_readme_tells_the_truth():
    readme = (PROJECT / "calibration_data" / "README.md").read_text()
    with zipfile.ZipFile(DIGITS) as archive:
        counts = Counter(name.split("/")[0] for name in archive.namelist())
        assert len({archive.read(name) for name in archive.namelist()}) == 1797
    per_class = ", ".join(str(counts[str(digit)]) for digit in range(10))
    assert f"pictures per class | {per_class};" in readme
    assert hashlib.sha256(DIGITS.read_bytes()).hexdigest() in readme
    assert re.search("CC BY 4.0", readme)


def test_no_code_and_no_other_data():
    files = sorted(p.name for p in DIGITS.parent.iterdir() if p.name != "__pycache__")
    assert files == ["README.md", "digits.zip"]
