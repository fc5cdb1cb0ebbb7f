"""The provenance of each artifact: terms and their values, as strings."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_edge import units
from resnet_edge.ondevice.formats.sidecar import Sidecar
from resnet_edge.ondevice.measurements import Machine
from resnet_edge.reporting.content import ReportContent


@dataclass(frozen=True)
class Fact:
    """One term and its value."""

    term: str
    value: str
    is_code: bool = False
    """True if the value is a hash or an identifier, which is set in a fixed width."""


@dataclass(frozen=True)
class FactSheet:
    """Facts about one thing."""

    title: str
    facts: tuple[Fact, ...]


def build_provenance(content: ReportContent) -> tuple[FactSheet, ...]:
    """Return the facts about the model, the data, the machine and every artifact."""
    sheets = [_model(content), _data(content)]
    if content.machine is not None:
        sheets.append(_machine(content.machine))
    return (*sheets, *(_artifact(row.sidecar) for row in content.artifacts))


def _model(content: ReportContent) -> FactSheet:
    model = content.model
    height, width = model.image_size
    facts = (
        Fact("sha256", model.sha256, is_code=True),
        Fact("weights", model.weights),
        Fact("input", f"{height} × {width} pixels, RGB"),
        Fact("classes", units.count(len(model.labels))),
        Fact("parameters", units.count(model.parameters)),
        Fact("multiply-adds", _saved(model.multiply_adds, model.multiply_adds_before)),
        Fact("exact rewrites", ", ".join(model.rewrites) or "none"),
    )
    return FactSheet(f"model {model.name}", facts)


def _data(content: ReportContent) -> FactSheet:
    data = content.data
    facts = (
        Fact("source", data.source or units.NOTHING),
        Fact("split", data.split_reason or units.NOTHING),
        Fact("training", units.plural(data.train, "picture")),
        Fact("validation", units.plural(data.validation, "picture")),
        Fact("calibration", units.plural(data.calibration, "picture")),
        Fact("test", units.plural(data.test, "picture")),
        Fact("left out as unreadable", units.plural(len(data.skipped), "picture")),
    )
    return FactSheet("data", facts)


def _machine(machine: Machine) -> FactSheet:
    facts = (
        Fact("host", machine.host),
        Fact("system", machine.system),
        Fact("processor", f"{machine.processor}, {units.plural(machine.cores, 'core')}"),
        Fact("CPU features", ", ".join(machine.cpu_features) or units.NOTHING),
        Fact("Python", machine.python),
        Fact("runtimes", _pairs(machine.runtimes, " ")),
    )
    return FactSheet("machine that timed the artifacts", facts)


def _artifact(sidecar: Sidecar) -> FactSheet:
    facts = [
        Fact("format", f"{sidecar.format.value}, {sidecar.precision.value}"),
        Fact("quantization", sidecar.quantization.value),
        Fact("size", f"{units.count(sidecar.bytes)} bytes"),
        Fact("sha256", sidecar.sha256, is_code=True),
        Fact("input", _tensor(sidecar.input_name, sidecar.input_dtype, sidecar.input_shape)),
        Fact("output", _tensor(sidecar.output_name, sidecar.output_dtype, sidecar.output_shape)),
        Fact("preprocessing", f"{sidecar.preprocessing}, inside the graph"),
        Fact("fit", sidecar.fit),
        Fact("multiply-adds", _saved(sidecar.multiply_adds, sidecar.multiply_adds_before)),
        Fact("exact rewrites", ", ".join(sidecar.rewrites) or "none"),
    ]
    if (calibration := sidecar.calibration) is not None:
        pictures = units.plural(calibration.pictures, "picture")
        words = f"{pictures}, {calibration.source}, seed {calibration.seed}, {calibration.method}"
        facts.append(Fact("calibration", words))
        facts.append(Fact("calibration sha256", calibration.sha256, is_code=True))
    facts += [Fact(key, words) for key, words in sidecar.findings.items()]
    facts.append(Fact("tools", _pairs(sidecar.tools, " ")))
    facts.append(Fact("options", _pairs(sidecar.options, "=")))
    return FactSheet(sidecar.name, tuple(facts))


def _saved(multiply_adds: int, before: int) -> str:
    """Return the multiply-adds, with those before the rewrites if they differ."""
    count = units.count(multiply_adds)
    if multiply_adds == before:
        return count
    return f"{count} ({units.count(before)} before the rewrites)"


def _tensor(name: str, dtype: str, shape: tuple[int | None, ...]) -> str:
    sides = " × ".join("any" if side is None else str(side) for side in shape)
    return f"{name}: {dtype}, {sides}"


def _pairs(values: dict[str, str], between: str) -> str:
    return ", ".join(f"{key}{between}{value}" for key, value in values.items()) or "none"
