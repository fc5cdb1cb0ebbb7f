from __future__ import annotations

import pytest

from resnet_edge.diagnosis.packages import NEEDS, Package, find_packages, package_problems
from resnet_edge.diagnosis.sources import MachineSources, installed_requirements
from resnet_edge.ondevice.versions import installed_version

INSTALLED = {need.package: "9.9.9" for need in NEEDS if need.required}


def sources(
    versions: dict[str, str], requirements: dict[str, tuple[str, ...]] | None = None
) -> MachineSources:
    return MachineSources(
        version=versions.get, requirements=lambda name: (requirements or {}).get(name, ())
    )


def problems(here: MachineSources) -> tuple[str, ...]:
    return tuple(package_problems(find_packages(here), here))


def test_all_there() -> None:
    assert problems(sources(INSTALLED)) == ()


def test_missing_packages_name_their_install_line() -> None:
    versions = {name: version for name, version in INSTALLED.items() if name != "onnxruntime"}
    here = sources(versions)
    package = next(p for p in find_packages(here) if p.name == "onnxruntime")
    assert package == Package(
        "onnxruntime", None, "runs and quantizes .onnx files", True, "pip install onnxruntime"
    )
    assert problems(here) == (
        "onnxruntime is missing (runs and quantizes .onnx files); run `pip install onnxruntime`",
    )


def test_another_distribution_of_a_package_counts() -> None:
    versions = {name: version for name, version in INSTALLED.items() if name != "tensorflow"}
    here = sources({**versions, "tensorflow-cpu": "2.21.0"})
    found = next(p for p in find_packages(here) if p.name.startswith("tensorflow"))
    assert (found.name, found.version) == ("tensorflow-cpu", "2.21.0")
    assert problems(here) == ()


def test_tflite_runtime_beside_numpy_2_and_tensorflow() -> None:
    versions = {**INSTALLED, "numpy": "2.4.6", "tensorflow": "2.21.0", "tflite-runtime": "2.14.0"}
    own = "give it an environment of its own, with Python 3.11 and numpy below 2"
    assert problems(sources(versions)) == (
        f"tflite-runtime 2.14.0 crashes with numpy 2.4.6; {own}",
        f"tflite-runtime 2.14.0 breaks where TensorFlow is imported first; {own}",
    )


def test_tflite_runtime_in_its_own_environment() -> None:
    here = sources({"numpy": "1.26.4", "tflite-runtime": "2.14.0"})
    assert not [problem for problem in problems(here) if "tflite-runtime 2.14.0" in problem]


def test_numpy_that_tensorflow_does_not_take() -> None:
    here = sources({**INSTALLED, "numpy": "1.24.3"}, {"tensorflow": ("numpy>=1.26.0", "keras>=3")})
    assert problems(here) == (
        "tensorflow needs numpy >=1.26.0, here is 1.24.3; run `pip install 'numpy>=1.26.0'`",
    )


@pytest.mark.parametrize(
    ("requirement", "holds"),
    [
        ("numpy", True),
        ("numpy>=2.4", True),
        ("numpy>=2.4.7", False),
        ("numpy<2.5,>=2.4.1", True),
        ("numpy (<2.4)", False),
        ("numpy==2.4.*", True),
        ("numpy==2.5.*", False),
        ("numpy==2.4.6", True),
        ("numpy==2.4", False),
        ("numpy!=2.4.6", False),
        ("numpy!=2.4.5", True),
        ("numpy<=2.4.6.0", True),
        ("numpy>2.4.6", False),
        ("numpy[extra]>=3", False),
        ("numpy>=3; extra == 'test'", True),  # under a condition: left to pip
        ("numpy~=1.0", False),
        ("numpy~=2.4", True),
        ("numpy>=2.5.0rc1", False),
        ("not a requirement at all", True),
        ("not-here>=3", True),  # missing packages are named elsewhere
    ],
)
def test_requirements_are_compared(requirement: str, holds: bool) -> None:
    here = sources({**INSTALLED, "numpy": "2.4.6"}, {"keras": (requirement,)})
    assert (problems(here) == ()) is holds


def test_versions_come_from_metadata() -> None:
    assert installed_version("pytest") == pytest.__version__
    assert any(entry.startswith("pluggy") for entry in installed_requirements("pytest"))
    assert installed_version("there-is-no-such-package") is None
    assert installed_requirements("there-is-no-such-package") == ()
