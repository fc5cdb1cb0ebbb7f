"""One search: what is foretold by now, the networks to try by it, and their rows."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from converters.compression.compression import Compressible
from converters.compression.latency_model import LatencyModel, work_of
from converters.compression.widths import Cost, Widths, channels_of, parameters
from resnet_edge import units
from resnet_edge.compression.foretelling import (
    Machine,
    affordable_parameters,
    check_result,
    merged,
    on_device,
    this_machine,
)
from resnet_edge.compression.front import build_front
from resnet_edge.compression.networks import Size, sizes_to_try
from resnet_edge.compression.search import (
    MARGIN,
    MOST_MEASURED,
    Aim,
    first_aims,
    is_far_behind,
    next_to_measure,
)
from resnet_edge.compression.trials import MODEL, Stage, Trial
from resnet_edge.compression.words import size_words
from resnet_edge.errors import ModelError, UsageError, translate
from resnet_edge.ondevice.command.device_result import read_device_result
from resnet_edge.ondevice.files import hash_path
from resnet_edge.steps import compress_trials as make
from resnet_edge.steps.compress_trials import Bench


class Search:
    """One search: what is foretold now, and the next network by it."""

    def __init__(self, bench: Bench, until: float) -> None:
        self._bench, self._until = bench, until
        self._results = [read_device_result(p) for p in bench.options.compression.on_device]
        known = [hash_path(bench.source), *(trial.model_sha256 for trial in bench.log)]
        for result in self._results:
            check_result(result, known)

    @property
    def devices(self) -> tuple[Machine, ...]:
        """The devices whose latency counts, as far as is known now."""
        log = self._bench.log
        known = [t for t in log if t.stage is Stage.MEASURED]
        known.sort(key=lambda trial: trial.name != MODEL)
        here = this_machine(log)
        return merged([on_device(result, here, known) for result in self._results])

    @property
    def _machines(self) -> tuple[Machine, ...]:
        return self.devices or (this_machine(self._bench.log),)

    def run(self) -> bool:
        """Search until nothing promising is left, or the minutes are over.

        Returns:
            False if the minutes ended it.
        """
        bench, display = self._bench, self._bench.display
        model = make.measure_model(bench)
        if bench.limits.is_hard and self._holds(model):
            display.say("the model holds the limits as it is")
            return True
        self._tell_fixed_groups()
        sizes = self._sizes()
        if bench.limits.p90_s is not None or bench.limits.bytes is None:
            for size, share in self._probes(sizes):
                if self._is_over():
                    return False
                make.probe(bench, size, share)
        for aim in first_aims(sizes, bench.limits):
            if self._is_over():
                return False
            self._fit(aim)
            if bench.limits.is_hard and is_far_behind(bench.log, aim.size):
                display.say(f"{size_words(aim.size)} loses too much: smaller ones are left out")
                break
        measured = 0
        while measured < MOST_MEASURED:
            trial = next_to_measure(bench.log, bench.limits, self._foretold())
            if trial is None:
                return True
            if self._is_over():
                return False
            display.say(f"{trial.name}: training, exporting and measuring it")
            left = self._until - time.monotonic()
            for_files = model.seconds  # to export, compare and time them
            row = make.measure(bench, trial, min(left / 2, left - for_files))
            measured += 1
            if bench.limits.is_hard and not self._holds(row):
                same = [trial for trial in bench.log.at(Stage.MEASURED) if trial.size == row.size]
                self._fit(Aim(row.size, None, len(same)))
        return True

    def _is_over(self) -> bool:
        return time.monotonic() >= self._until

    def _tell_fixed_groups(self) -> None:
        """Say which channels have to stay, and why."""
        fixed = self._bench.networks.compressible.fixed
        reasons: dict[str, list[str]] = {}
        for group in fixed:
            reasons.setdefault(str(group.fixed), []).append(group.name)
        for reason, names in reasons.items():
            more = f" and {len(names) - 4} more" if len(names) > 4 else ""
            self._bench.display.say(f"channels stay: {', '.join(names[:4])}{more}: {reason}")

    def _sizes(self) -> tuple[Size, ...]:
        """Return the sizes that the model can take."""
        networks, found = self._bench.networks, []
        asked = self._bench.options.compression.input_sizes
        for size in sizes_to_try(networks.own, asked):
            try:
                networks.at(size)
            except Exception as problem:
                error = translate(problem)
                if not isinstance(error, ModelError) or size == networks.own:
                    raise
                self._bench.display.say(f"{size_words(size)}: left out: {error}")
                continue
            found.append(size)
        if not found:
            words = ", ".join(map(size_words, sizes_to_try(networks.own, asked)))
            raise UsageError(
                f"--input-sizes: got {words}; the network takes none of them; leave the option out"
            )
        return tuple(found)

    @staticmethod
    def _probes(sizes: Sequence[Size]) -> tuple[tuple[Size, float], ...]:
        """Return networks that differ most in what they do."""
        probes = [(sizes[0], 0.35), (sizes[-1], 0.6)]
        return tuple(dict.fromkeys(probes))

    def _foretold(self) -> dict[str, float]:
        """Return the 90th percentile of every fitted network by its fastest way."""
        rows = {trial.name: trial for trial in self._bench.log.at(Stage.FITTED)}
        rows |= {trial.name: trial for trial in self._bench.log.at(Stage.MEASURED)}
        return {name: self._slowest(trial) for name, trial in rows.items()}

    def _slowest(self, trial: Trial) -> float:
        machines, names = self._machines, self._bench.names
        best = []
        for name in names:
            times = [
                min((m.p90_s(trial, way) for way in m.of(name)), default=math.inf) for m in machines
            ]
            best.append(max(times))
        return min(best)

    def _holds(self, row: Trial) -> bool:
        front = build_front([row], self.devices, self._bench.rules)
        return front.chosen is not None

    def _fit(self, aim: Aim) -> None:
        """Fit the network that is aimed at, unless it was or there is none."""
        words = aim.words(self._bench.limits)
        if self._bench.log.has_aim(words):
            return
        widths = self._shared(aim) if aim.share else self._within(aim.size)
        if widths is None:
            self._tell_narrowest(aim.size)
            return
        if not widths.removed and aim.size == self._bench.networks.own:
            self._bench.display.say("the model holds the limits with all channels")
            return
        make.fit(self._bench, aim.size, widths, words)

    def _tell_narrowest(self, size: Size) -> None:
        """Say that no network of a size holds the limits, and what the narrowest would take."""
        at = self._bench.networks.at(size)
        narrowest = at.widths(0.0, self._fastest(size).cost)
        takes = f": p90 {units.milliseconds(narrowest.cost)} ms"
        self._bench.display.say(
            f"{size_words(size)}: even the narrowest network is foretold to exceed the limits"
            f"{takes if self._bench.limits.p90_s is not None else ''}"
        )

    def _shared(self, aim: Aim) -> Widths:
        """Return widths for a share of the latency of the fastest file."""
        at = self._bench.networks.at(aim.size)
        return at.widths(aim.share or 1.0, self._fastest(aim.size).cost)

    def _fastest(self, size: Size) -> LatencyModel:
        work = work_of(self._bench.networks.at(size).graph)
        machine = self._machines[0]
        ways = [way for name in self._bench.names if (way := machine.fastest(name, work))]
        return machine.ways[min(ways, key=lambda way: machine.ways[way].predict(work))]

    def _within(self, size: Size) -> Widths | None:
        """Return the widths of a file that holds the limits and loses least."""
        at = self._bench.networks.at(size)
        found = []
        for name in self._bench.names:
            limits = self._costs(name, at)
            if limits and (widths := at.within(limits)) is not None:
                found.append(widths)
        return min(found, key=lambda widths: widths.error, default=None)

    def _costs(self, name: str, at: Compressible) -> list[tuple[Cost, float]]:
        """Return what calls cost in a kind of file, and may; nothing where it cannot be had."""
        asked, work = self._bench.limits, work_of(at.graph)
        found: list[tuple[Cost, float]] = []
        if asked.p90_s is not None:
            for machine in self._machines:
                way = machine.fastest(name, work)
                if way is None:
                    return []
                found.append((machine.ways[way].cost(at.graph), MARGIN * asked.p90_s))
        if asked.bytes is not None:
            kernels = sum(parameters(call, *channels_of(at.graph, call)) for call in at.graph.calls)
            others = at.graph.model.count_params() - kernels
            allowed = affordable_parameters(name, self._bench.log, asked.bytes) - others
            if not allowed > 0:
                return []
            found.append((parameters, allowed))
        return found
