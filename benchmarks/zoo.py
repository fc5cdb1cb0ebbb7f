"""Every format of many networks: answers beside Keras', and int8 beside two other quantizers.

    python benchmarks/zoo.py --folder zoo --json rows.json
    python benchmarks/zoo.py --folder zoo --networks mobilenetv2,nested-transfer

Trains the networks of `benchmarks/zoo_networks.py` (for an hour on two cores), exports each with
the product's command, and lets every file answer all pictures of ``val/``. The TF converter and
onnxruntime's ``quantize_static`` quantize the same networks with the same calibration pictures.
Networks and peers' answers that ``--folder`` has are not made again. Prints two tables.

The exit code is 0, or 1 if a file is missing or ours is worse than the better of the two.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from quantization import SHARED, comma_list
from zoo_networks import NETWORKS, RESNET50
from zoo_worker import PICTURES

from converters.quantization.answer_metrics import mean_sqnr_db
from resnet_edge.ondevice.formats.kinds import ARTIFACT_NAMES, artifact_kind
from resnet_edge.ondevice.parity import metrics

WORKER = Path(__file__).with_name("zoo_worker.py")
NAMES = (RESNET50, *NETWORKS)
PEERS = ("tf-converter", "quantize-static")
JUDGED = ("int8.tflite", "int8.onnx")
NOTED = ("float fallback", "level")
"""Findings that are printed."""
TOLERANCE_DB = 0.3
"""A file this much below the better peer counts as equal."""


@dataclass(frozen=True)
class Row:
    """One file."""

    network: str
    file: str
    """The artifact's or the peer's name."""
    sqnr_db: float | None = None
    """SQNR of the centred log-probabilities against Keras'; None where there is no file."""
    mean_db: float | None = None
    """Mean of the pictures' own SQNR, which no single picture decides."""
    agreement: float | None = None
    """Share of pictures with Keras' best class, in [0, 1]."""
    problem: str = ""
    """The last line of the error where there is no file."""

    def cell(self) -> str:
        """Return agreement, SQNR, and in brackets the mean SQNR of a picture, as text."""
        if self.sqnr_db is None or self.agreement is None:
            return "failed"
        return f"{self.agreement:.1%}, {self.sqnr_db:.1f} dB ({self.mean_db:.1f})"


@dataclass(frozen=True)
class Network:
    """A network's facts beside its rows."""

    name: str
    parameters: int
    top1: float
    """Accuracy of Keras on the test pictures, in [0, 1]."""
    export_s: float
    notes: tuple[str, ...]
    """Findings in the sidecar of ``int8.tflite``: layers that went to float, a lower level."""


def main() -> int:
    options = parse()
    options.folder.mkdir(parents=True, exist_ok=True)
    draw_calibration(options.data / "train", options.folder / PICTURES, options.calibration)
    rows, networks = [], []
    for name in options.networks:
        folder = options.folder / name
        if words := run("network", name, folder, options.data, options.model):
            print(f"{name}: {words}", file=sys.stderr)
            return 1
        network, exported = export(name, folder, options.words)
        found = [*exported, *(peer(name, folder, tool) for tool in PEERS)]
        for row in found:
            print(f"{name} {row.file}: {row.cell()} {row.problem}", file=sys.stderr, flush=True)
        rows += found
        networks.append(network)
        if options.json:
            record = {"networks": list(map(asdict, networks)), "rows": list(map(asdict, rows))}
            options.json.write_text(json.dumps(record, indent=1) + "\n")
    return report(networks, rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="networks and files go there")
    parser.add_argument("--networks", type=comma_list(str), default=NAMES, metavar="A,B")
    parser.add_argument("--calibration", type=int, default=192, help="pictures for all quantizers")
    parser.add_argument("--model", type=Path, default=SHARED / "weights" / "tiny16.keras")
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "tiny16")
    parser.add_argument("--json", type=Path, help="write all rows there")
    parser.add_argument("words", nargs="*", help="after --: options for resnet-edge export")
    options = parser.parse_args()
    if unknown := set(options.networks) - set(NAMES):
        parser.error(f"--networks: {', '.join(unknown)}; expected some of {', '.join(NAMES)}")
    if missing := [str(path) for path in (options.data, options.model) if not path.exists()]:
        parser.error(f"{', '.join(missing)}: not found; pass --data FOLDER and --model FILE")
    return options


def draw_calibration(source: Path, folder: Path, count: int) -> None:
    """Copy the first pictures of every class, ``count`` in all."""
    classes = sorted(path for path in source.iterdir() if path.is_dir())
    shutil.rmtree(folder, ignore_errors=True)
    for path in classes:
        (folder / path.name).mkdir(parents=True)
        for picture in sorted(path.iterdir())[: count // len(classes)]:
            shutil.copy(picture, folder / path.name)


def run(*words: object) -> str:
    """Run a job and return an empty string, or the words on why it failed."""
    return started([sys.executable, str(WORKER), *map(str, words)])


def started(command: list[str]) -> str:
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if not done.returncode:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return f"exit code {done.returncode}: {lines[-1] if lines else ''}"


def export(name: str, folder: Path, words: list[str]) -> tuple[Network, list[Row]]:
    """Export with the product's command, and ask every file."""
    facts = json.loads((folder / "network.json").read_text())
    out = folder / "build"
    shutil.rmtree(out, ignore_errors=True)
    command = [
        *(sys.executable, "-m", "resnet_edge", "export", str(folder / "model.keras")),
        *("--preprocessing", facts["preprocessing"], "--labels", str(folder / "labels.txt")),
        *("--calibration", str(folder.parent / PICTURES), "--calibration-count", "100000"),
        *("--formats", ",".join(ARTIFACT_NAMES), "--out", str(out), *words),
    ]
    began = time.monotonic()
    problem = started(command)
    export_s = time.monotonic() - began
    rows = []
    for artifact in ARTIFACT_NAMES:
        path = out / "artifacts" / artifact
        words_ = run("ask", path, folder) if path.exists() else problem or "not made"
        rows.append(row(name, folder, artifact, words_))
    network = Network(name, facts["parameters"], facts["top1"], export_s, notes(out))
    return network, rows


def notes(out: Path) -> tuple[str, ...]:
    sidecar = out / "artifacts" / "int8.tflite.json"
    found = json.loads(sidecar.read_text())["findings"] if sidecar.exists() else {}
    return tuple(found[key] for key in NOTED if key in found)


def peer(name: str, folder: Path, tool: str) -> Row:
    made = folder / f"{tool}.npy"
    return row(name, folder, tool, "" if made.exists() else run(tool, folder))


def row(name: str, folder: Path, file: str, problem: str) -> Row:
    if problem:
        return Row(name, file, problem=problem)
    reference, answers = (np.load(folder / f"{one}.npy") for one in ("reference", file))
    answers_in_steps = file in ARTIFACT_NAMES and artifact_kind(file).output_dtype == "uint8"
    floor = metrics.UINT8_FLOOR if answers_in_steps else metrics.FLOAT_FLOOR
    distance = metrics.compare_logits(reference, answers, floor)
    mean_db = mean_sqnr_db(*(metrics.centred_logits(one, floor) for one in (reference, answers)))
    agreement = float(metrics.agreements(reference, answers).mean())
    return Row(name, file, distance.sqnr_db, mean_db, agreement)


def report(networks: list[Network], rows: list[Row]) -> int:
    """Print the tables as Markdown; return 1 if a file is missing or below its bar."""
    of = {(row.network, row.file): row for row in rows}
    table(networks, of, [name for name in ARTIFACT_NAMES if name not in JUDGED], {})
    verdicts = {network.name: verdict(network.name, of) for network in networks}
    print()
    table(networks, of, [*JUDGED, *PEERS], verdicts)
    print()
    for network in networks:
        print("".join(f"- {network.name}: {note}\n" for note in network.notes), end="")
    for row in rows:
        print(f"- {row.network}, {row.file}: {row.problem}\n" if row.problem else "", end="")
    missing = [row for row in rows if row.sqnr_db is None and row.file in ARTIFACT_NAMES]
    return int(bool(missing) or any(words != "yes" for words in verdicts.values()))


def verdict(name: str, of: dict[tuple[str, str], Row]) -> str:
    """Return ``yes`` where both files are at least as good as the better peer."""
    peers = [of[name, tool].sqnr_db for tool in PEERS]
    bar = max((one for one in peers if one is not None), default=-np.inf)
    ours = [one for file in JUDGED if (one := of[name, file].sqnr_db) is not None]
    if len(ours) < len(JUDGED):
        return "no, a file is missing"
    return "yes" if min(ours) >= bar - TOLERANCE_DB else f"no, {min(ours) - bar:+.1f} dB"


def table(
    networks: list[Network],
    of: dict[tuple[str, str], Row],
    columns: list[str],
    verdicts: dict[str, str],
) -> None:
    extra = ["at least the better"] if verdicts else ["parameters", "export"]
    print(f"| network | {' | '.join([*columns, *extra])} |")
    print(f"|{'---|' * (1 + len(columns) + len(extra))}")
    for network in networks:
        cells = [of[network.name, column].cell() for column in columns]
        if verdicts:
            cells += [verdicts[network.name]]
        else:
            cells += [f"{network.parameters / 1e6:.1f} M", f"{network.export_s:.0f} s"]
        print(f"| {network.name} (top-1 {network.top1:.0%}) | {' | '.join(cells)} |")


if __name__ == "__main__":
    sys.exit(main())
