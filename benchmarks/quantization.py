"""int8 post-training quantization, ours against other tools, on a real model and real pictures.

    make bench-peers                    # once: NNCF and OpenVINO, in an environment of their own
    python benchmarks/quantization.py --seeds 0,1,2 --json rows.json
    python benchmarks/quantization.py --photos ../shared/data/flowers      # with a new head
    python benchmarks/quantization.py --recipe mobilenetv2-0.35            # another network

All tools start from the same float model. They calibrate on the same training pictures, drawn anew
for every seed. ``distilled`` learns from all training pictures, without labels; ``trained`` with
them, and validation pictures choose. The answers to all test pictures are compared with those of
the float Keras model. Each tool and seed has a process of its own. The time goes from the float
file to the int8 file, with calibration and without imports, decoding and loading.

The exit code is 0, or 1 if a tool failed (its row says why), or 2 if model or pictures are missing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from quantization_inputs import LAST, has_inputs
from quantization_peers import PEERS
from quantization_table import Row, print_table
from trained_networks import RECIPES

from resnet_edge.ondevice.machine import describe_machine
from resnet_edge.ondevice.parity import metrics

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
WORKER = Path(__file__).with_name("quantization_worker.py")
OURS = ("fast", "equalized", "distilled", "trained")
TOOLS = (*PEERS, *OURS)
PACKAGES = (
    "tensorflow",
    "keras",
    "numpy",
    "ai-edge-litert",
    "litert-quantizer",
    "onnx",
    "tf2onnx",
    "onnxruntime",
)


@dataclass(frozen=True)
class Bench:
    """Data that all processes share."""

    folder: Path
    labels: np.ndarray
    reference: np.ndarray

    @classmethod
    def of(cls, folder: Path) -> Bench:
        """Read the inputs that were made there."""
        return cls(folder, *(np.load(folder / name) for name in ("test-labels.npy", LAST)))

    @property
    def reference_top1(self) -> float:
        """Accuracy of the float model, in [0, 1]."""
        return float(metrics.topk_hits(self.reference, self.labels, 1).mean())


def main() -> int:
    options = parse()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.inputs or Path(scratch)
        if not has_inputs(folder):
            folder.mkdir(parents=True, exist_ok=True)
            made = run_worker(Path(sys.executable), inputs_job(options, folder), folder)
            if error := made.get("error"):
                print(f"cannot make the float files: {error}", file=sys.stderr)
                return 2
        available = len(np.load(folder / "train-labels.npy"))
        if not 0 < options.count <= available:
            print(f"--count {options.count}: expected 1 to {available}", file=sys.stderr)
            return 2
        bench = Bench.of(folder)
        versions = {name: metadata.version(name) for name in PACKAGES}
        rows: list[Row] = []
        for seed in options.seeds:
            for tool in options.only:
                np.save(folder / "calibration.npy", draw_calibration(folder, seed, options.count))
                print(f"seed {seed}: {tool}", file=sys.stderr, flush=True)
                rows += measure(bench, tool, seed, versions)
                if options.json:
                    write_rows(options, bench, rows, versions)
        report(bench, rows, versions, options)
    return 1 if any(row.error for row in rows) else 0


def inputs_job(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return what the process that makes the inputs is told."""
    names = ("model", "preprocessing", "train", "test", "photos", "recipe")
    given = {name: str(getattr(options, name) or "") for name in names}
    return {"tool": None, "out": str(folder), "labels": find_labels(options)} | given


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=SHARED / "weights" / "tiny16.keras")
    parser.add_argument(
        "--train",
        type=Path,
        default=SHARED / "data" / "tiny16" / "train_full",
        help="a folder per class",
    )
    parser.add_argument(
        "--test", type=Path, default=SHARED / "data" / "tiny16" / "val", help="a folder per class"
    )
    parser.add_argument(
        "--photos", type=Path, help="give the model a new head for these photos, and test on them"
    )
    parser.add_argument(
        "--recipe", choices=tuple(RECIPES), help="train this network on --train instead of --model"
    )
    parser.add_argument(
        "--preprocessing", default="caffe", help="the normalization that the model expects"
    )
    parser.add_argument(
        "--labels", type=Path, help="class names in output order; default: labels.txt by the model"
    )
    parser.add_argument(
        "--inputs", type=Path, help="keep the inputs there, or take those that are there"
    )
    parser.add_argument("--seeds", type=comma_list(int), default=[0, 1, 2], metavar="0,1,2")
    parser.add_argument("--count", type=int, default=200, help="calibration pictures")
    parser.add_argument(
        "--only", type=comma_list(str), default=TOOLS, metavar="A,B", help=f"of {', '.join(TOOLS)}"
    )
    parser.add_argument("--json", type=Path, help="write all rows there")
    options = parser.parse_args()
    if unknown := [tool for tool in options.only if tool not in TOOLS]:
        parser.error(f"--only: {', '.join(unknown)}; expected some of {', '.join(TOOLS)}")
    pictures = (options.photos,) if options.photos else (options.train, options.test)
    needed = pictures if options.recipe else (options.model, *pictures)
    made = options.inputs and has_inputs(options.inputs)
    if not made and (missing := [str(path) for path in needed if not path.exists()]):
        wanted = "--model FILE, --train and --test, or --photos"
        parser.exit(2, f"{', '.join(missing)}: not found; pass {wanted}\n")
    return options


def comma_list(kind: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    def split(text: str) -> list[Any]:
        return [kind(part) for part in text.split(",")]

    return split


def find_labels(options: argparse.Namespace) -> list[str]:
    """Return class names in output order; empty to use the names of the folders."""
    beside = options.model.with_name("labels.txt")
    path = options.labels or (beside if beside.exists() else None)
    return path.read_text(encoding="utf-8").splitlines() if path else []


def draw_calibration(folder: Path, seed: int, count: int) -> np.ndarray:
    """Draw the pictures that every tool calibrates on with this seed."""
    pictures = np.load(folder / "train.npy", mmap_mode="r")
    drawn = np.random.default_rng(seed).permutation(len(pictures))[:count]
    return np.asarray(pictures[drawn])


def run_worker(python: Path, job: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """Run one job in a process of its own and return its result."""
    order, result = scratch / "job.json", scratch / "result.json"
    order.write_text(json.dumps(job))
    result.unlink(missing_ok=True)
    process = subprocess.run(
        [python, WORKER, order, result],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "1"},
        capture_output=True,
        text=True,
        errors="replace",
    )
    if not result.exists():
        last = (process.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return {"error": f"the process ended with status {process.returncode}: {last}"}
    answer: dict[str, Any] = json.loads(result.read_text())
    return answer


def measure(bench: Bench, tool: str, seed: int, versions: dict[str, str]) -> list[Row]:
    """Quantize with one tool, once, and judge what came out."""
    peer = PEERS.get(tool)
    separate = peer is not None and peer.own_environment and PEERS_PYTHON.exists()
    with tempfile.TemporaryDirectory() as out:
        job = {"tool": tool, "floats": str(bench.folder), "out": out, "seed": seed}
        job["calibration"] = str(bench.folder / "calibration.npy")
        result = run_worker(PEERS_PYTHON if separate else Path(sys.executable), job, Path(out))
        if error := result.get("error"):
            return [Row(tool, seed, error)]
        versions |= result["versions"]
        spent = {name: result[name] for name in ("peak_bytes", "loaded_bytes")}
        answers = {one["artifact"]: np.load(one["answers"]) for one in result["artifacts"]}
        return [
            Row(
                tool=tool,
                seed=seed,
                **{name: artifact[name] for name in ("artifact", "runtime", "bytes", "quantize_s")},
                **judge(bench, answers[artifact["artifact"]]),
                **spent,
                twin=agree_with_twin(answers, artifact["artifact"]),
            )
            for artifact in result["artifacts"]
        ]


def agree_with_twin(answers: dict[str, np.ndarray], artifact: str) -> float | None:
    """Return the share of pictures with the same answer in int8.onnx and in its int8.tflite."""
    if artifact != "int8.onnx" or "int8.tflite" not in answers:
        return None
    return float(metrics.agreements(answers["int8.tflite"], answers["int8.onnx"]).mean())


def judge(bench: Bench, answers: np.ndarray) -> dict[str, Any]:
    # An 8-bit softmax has at most 256 values; its zeros are off by half a step, not by 60 nats.
    eight_bit = len(np.unique(answers)) <= 256
    floor = metrics.UINT8_FLOOR if eight_bit else metrics.FLOAT_FLOOR
    right, before = (metrics.topk_hits(one, bench.labels, 1) for one in (answers, bench.reference))
    return {
        "top1": float(right.mean()),
        "gained": int((right & ~before).sum()),
        "lost": int((before & ~right).sum()),
        "pictures": len(right),
        "agreement": float(metrics.agreements(bench.reference, answers).mean()),
        "sqnr_db": metrics.compare_logits(bench.reference, answers, floor).sqnr_db,
        "sqnr_8bit_db": metrics.compare_logits(
            bench.reference, answers, metrics.UINT8_FLOOR
        ).sqnr_db,
        "tied": int((metrics.best_classes(answers).sum(axis=1) > 1).sum()),
    }


def report(
    bench: Bench, rows: list[Row], versions: dict[str, str], options: argparse.Namespace
) -> None:
    """Print machine, pictures and table as Markdown."""
    machine = machine_record(versions)
    listed = ", ".join(f"{name} {version}" for name, version in machine["runtimes"].items())
    print(f"Machine: {machine['processor']}, {machine['cores']} cores", end=" ")
    print(f"({', '.join(machine['cpu_features'])}), {machine['system']}.")
    print(f"Python {machine['python']}, {listed}.")
    print(
        f"\n{len(bench.labels)} test pictures, {options.count} calibration pictures, seeds", end=""
    )
    print(f" {', '.join(map(str, options.seeds))}: median (smallest–largest).")
    learned = len(np.load(bench.folder / "train-labels.npy"))
    validating = len(np.load(bench.folder / "validation-labels.npy"))
    print(f"distilled and trained: {learned} training pictures, {validating} for validation.")
    print(f"Float Keras model: top-1 {bench.reference_top1:.2%}.", end=" ")
    print("Against it: points of the median seed, with", end=" ")
    print("the paired 90 % interval, smallest and largest of the seeds.")
    print("Peak memory: of the whole process, packages and float model included.", end=" ")
    print_table(rows, options.only)


def write_rows(
    options: argparse.Namespace, bench: Bench, rows: list[Row], versions: dict[str, str]
) -> None:
    """Write all rows so far, so that a run that is cut off keeps them."""
    record = {"machine": machine_record(versions), "count": options.count}
    record["reference_top1"] = bench.reference_top1
    record["rows"] = [as_record(row) for row in rows]
    options.json.write_text(json.dumps(record, indent=2) + "\n")


def machine_record(versions: dict[str, str]) -> dict[str, Any]:
    """Return what is known of the machine, without its name."""
    machine = dataclasses.asdict(describe_machine(versions))
    del machine["host"]
    return machine


def as_record(row: Row) -> dict[str, Any]:
    """Return a row's fields; of a failed row only those that say what failed."""
    fields = dataclasses.asdict(row)
    return {name: fields[name] for name in ("tool", "seed", "error")} if row.error else fields


if __name__ == "__main__":
    sys.exit(main())
