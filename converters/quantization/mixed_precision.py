"""Mixed precision by measuring: the layers that rounding hurts most compute in float again.

Every trial is a real file in the real runtime. No labels are needed: what is compared is the best
class with that of the float model. Accuracy can fall by no more than the share of pictures whose
best class changes, so an agreement of 0.99 is enough (not necessary) for an accuracy within one
percentage point of the float model's, on these pictures.

A layer put back into float brings something only where its kernel, or a tensor, stops being
rounded, and a tensor is rounded as long as an integer operator writes or reads it. A sum between
integer neighbours brings nothing. A convolution whose output only a sum reads goes into float
together with that sum, so that the tensor between them stays float too. Where a layer alone brings
too little, it is tried together with the layers that read it, without which its output is rounded.

Biases stay as they are. Those of an equalised scheme make good for the rounding of all layers, of
those too that are put back: with very many layers in float a little of that is left as an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from converters.errors import IntermediateFileError, RequestError
from converters.quantization.calibrated_network import CalibratedNetwork
from converters.quantization.findings import LayerSensitivity, PrecisionTrial, best_trial
from converters.quantization.float_layers import FloatLayers
from converters.quantization.scheme import Scheme
from converters.quantization.trial_runner import TrialRunner

REQUIRED_AGREEMENT = 0.99
"""Of the best classes with the float model's, as in the module's description."""


@dataclass(frozen=True)
class SearchStep:
    """What is known after a trial."""

    trial: PrecisionTrial
    best: PrecisionTrial
    """Of all so far: one that holds, of those the smallest file; where none holds, the one with the
    highest agreement, then the most decibels."""
    scheme: Scheme
    """Of the best."""
    data: bytes
    """The best file."""
    repeated: bool = False
    """Whether the trial is an earlier one, whose file was made again."""


def search(
    float32: bytes,
    calibrated: CalibratedNetwork,
    sensitivities: Sequence[LayerSensitivity],
    pictures: np.ndarray,
    budget_s: float,
    *,
    required: float = REQUIRED_AGREEMENT,
    earlier: Sequence[PrecisionTrial] = (),
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[SearchStep]:
    """Put the guiltiest layers back into float, one more at a time, until the answers hold.

    A layer stays in float where it improved agreement or SQNR; one that did not is tried again when
    its neighbours in float let it do more. Once the answers hold, layers turn
    to integers again, the least guilty first, where the answers hold without them. Every result is
    handed out before the next trial begins. The same inputs give the same trials, but for latencies
    and for how many fit into the budget.

    Args:
        float32: The float file of the network.
        calibrated: Its quantization; what that keeps in float stays there.
        sensitivities: What ``measure_sensitivity`` found; layers without a share are not tried.
        pictures: Best such as did not choose the scheme, uint8 ``(count, height, width, 3)``, may
            be a memory map.
        budget_s: Seconds after which no trial begins; one that has begun is finished. The first
            trial, everything integer, is always made; with 0 it is the only one.
        required: The agreement that is enough, in [0, 1].
        earlier: Trials of a search that was cut off, with the same inputs. They are not made
            again; the first item is then the best of them, with its file made again.
        clock: Seconds; budget and latencies go by it.

    Yields:
        One item after every trial.

    Raises:
        ConversionError: No pictures; answers that are not finite; a sensitivity or an earlier
            trial that is not of this quantization; or the quantizer or the runtime refuses a mix.
    """
    if not len(pictures):
        raise RequestError("search: no pictures; expected at least one; pass --calibration DIR")
    plan = FloatLayers(calibrated.network, calibrated.scheme.float_operations)
    plan.check([row.layer for row in sensitivities], "a sensitivity")
    for row in earlier:
        plan.check(row.float_layers, "an earlier trial")
    shares = {row.layer: row.share for row in sensitivities if row.share > 0}
    bench = TrialRunner(float32, calibrated, pictures, clock)
    known = {row.float_layers: replace(row, holds=row.agreement >= required) for row in earlier}
    yield from _Search(plan, bench, shares, known, required, budget_s).run()


@dataclass
class _Search:
    """The state of a search; its generators hand out what they find on the way."""

    plan: FloatLayers
    bench: TrialRunner
    shares: Mapping[str, float]
    known: dict[tuple[str, ...], PrecisionTrial]
    required: float
    budget_s: float
    best: SearchStep | None = None

    def run(self) -> Iterator[SearchStep]:
        """Remember, put into float, take out again."""
        if self.known:
            yield self._remember()
        first = yield from self._attempt("", ())
        if first is None:
            return
        chosen = yield from self._put_back(first)
        if chosen is not None:
            yield from self._take_out(chosen)

    def _put_back(self, now: PrecisionTrial) -> Generator[SearchStep, None, tuple[str, ...] | None]:
        """Grow the set in float; None where the answers do not hold in the end."""
        chosen: tuple[str, ...] = ()
        tried: set[tuple[str, frozenset[str]]] = set()
        while not now.holds:
            candidate = next(self._candidates(chosen, tried), None)
            if candidate is None:
                return None
            layer, freed, grown = candidate
            tried.add((layer, freed))
            trial = yield from self._attempt(layer, grown)
            if trial is None:
                return None
            if trial.agreement > now.agreement or trial.sqnr_db > now.sqnr_db:
                chosen, now = grown, trial
        return chosen

    def _candidates(
        self, chosen: tuple[str, ...], tried: Collection[tuple[str, frozenset[str]]]
    ) -> Iterator[tuple[str, frozenset[str], tuple[str, ...]]]:
        """Layers with what they would free, guiltiest first.

        A layer that brought nothing comes again once it would free more than it did then.
        """
        for layer in sorted(self.shares.keys() - set(chosen), key=self._guilt):
            for option in self.plan.options(layer):
                grown = tuple(dict.fromkeys((*chosen, *option)))
                freed = self.plan.freed(chosen, grown)
                if freed and (layer, freed) not in tried:
                    yield layer, freed, grown

    def _guilt(self, layer: str) -> tuple[float, str]:
        """Smallest for the guiltiest; names decide between equals."""
        return -self.shares.get(layer, 0.0), layer

    def _take_out(self, chosen: tuple[str, ...]) -> Generator[SearchStep, None, None]:
        """Shrink the set in float where the answers hold without a layer."""
        for layer in sorted(chosen, key=self._guilt, reverse=True):
            rest = tuple(name for name in chosen if name != layer)
            trial = yield from self._attempt(layer, rest)
            if trial is None:
                return
            if trial.holds:
                chosen = rest

    def _attempt(
        self, layer: str, chosen: tuple[str, ...]
    ) -> Generator[SearchStep, None, PrecisionTrial | None]:
        """Measure a set of layers unless that was done before; None where no time is left."""
        float_layers = self.plan.layers(chosen)
        if float_layers in self.known:
            return self.known[float_layers]
        if self.known and self.bench.spent_s() >= self.budget_s:
            return None
        scheme, data = self.bench.make(self.plan.operations(float_layers))
        trial = self.bench.measure(layer, float_layers, data, self.required)
        self.known[float_layers] = trial
        if self.best is None or best_trial((self.best.best, trial)) is trial:
            self.best = SearchStep(trial, trial, scheme, data)
        yield replace(self.best, trial=trial, repeated=False)
        return trial

    def _remember(self) -> SearchStep:
        """Make the best earlier file again.

        Raises:
            IntermediateFileError: It comes out otherwise than it was.
        """
        trial = best_trial(self.known.values())
        scheme, data = self.bench.make(self.plan.operations(trial.float_layers))
        if len(data) != trial.bytes:
            raise IntermediateFileError(
                f"search: an earlier trial's file had {trial.bytes} bytes, made again it has "
                f"{len(data)}; it is of another quantization; search without earlier trials"
            )
        self.best = SearchStep(trial, trial, scheme, data, repeated=True)
        return self.best
