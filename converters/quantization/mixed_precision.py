"""Mixed precision: a search for the layers that should compute in float.

Every trial is a file as it would ship, run in LiteRT. No labels are needed: the best class is
compared with that of the float model (the agreement). Accuracy cannot fall by more than the share
of pictures whose best class changes. So an agreement of 0.99 is enough, though not necessary, for
an accuracy within one percentage point of the float model's on these pictures.

A layer in float helps only if its kernel or a tensor is no longer rounded. A tensor is rounded as
long as an integer operator writes or reads it. So a sum between integer operators gains nothing. A
convolution goes into float together with a sum that alone reads it, so that the tensor between them
stays float. If a layer alone gains too little, it is tried together with all layers that read it.

Biases are not changed. In an equalized network they compensate for the rounding of all layers. With
very many layers in float, a little of this compensation is left as an error.
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
"""Share of pictures with the float model's best class that is enough, see above."""


@dataclass(frozen=True)
class SearchStep:
    """State of the search after a trial."""

    trial: PrecisionTrial
    best: PrecisionTrial
    """The best trial so far, by ``converters.quantization.findings.best_trial``."""
    scheme: Scheme
    """Scheme of the best trial."""
    data: bytes
    """File of the best trial."""
    repeated: bool = False
    """True if the trial is an earlier one, whose file was made again."""


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
    """Put layers into float, those with the most noise first, until the agreement is enough.

    A layer stays in float if agreement or SQNR improves. Other layers are tried again when more
    layers around them are in float. Once the agreement is enough, layers are put back to integers,
    those with the least noise first, as long as it stays enough. Every result is yielded before the
    next trial begins. The same inputs give the same trials, except for latencies and for the number
    of trials that the budget allows.

    Args:
        float32: The float file of the network.
        calibrated: The calibrated network. Operators that it keeps in float stay in float.
        sensitivities: The result of ``measure_sensitivity``. Layers with a share of 0 are left out.
        pictures: uint8 ``(count, height, width, 3)``, may be a memory map. It is best if they are
            not those that chose the scheme.
        budget_s: Seconds after which no trial begins. A trial that has begun is finished. The first
            trial, with all layers integer, is always made; with a budget of 0 it is the only one.
        required: The agreement that is enough, in [0, 1].
        earlier: Trials of an interrupted search with the same inputs. They are not made again. The
            first item is then the best of them, with its file made again.
        clock: Returns seconds, for the budget and the latencies.

    Yields:
        The state after every trial.

    Raises:
        RequestError: There are no pictures.
        IntermediateFileError: A sensitivity or an earlier trial is of another network.
        ModelConversionError: Answers are not finite, or the quantizer or the runtime refuses a mix
            of integer and float layers.
    """
    if not len(pictures):
        raise RequestError("search: no pictures; expected at least one; pass --calibration DIR")
    layers = FloatLayers(calibrated.network, calibrated.scheme.float_operations)
    layers.check([row.layer for row in sensitivities], "a sensitivity")
    for row in earlier:
        layers.check(row.float_layers, "an earlier trial")
    shares = {row.layer: row.share for row in sensitivities if row.share > 0}
    runner = TrialRunner(float32, calibrated, pictures, clock)
    known = {row.float_layers: replace(row, holds=row.agreement >= required) for row in earlier}
    yield from _Search(layers, runner, shares, known, required, budget_s).run()


@dataclass
class _Search:
    """A search in progress. Its generators yield every state on the way."""

    layers: FloatLayers
    runner: TrialRunner
    shares: Mapping[str, float]
    known: dict[tuple[str, ...], PrecisionTrial]
    required: float
    budget_s: float
    best: SearchStep | None = None

    def run(self) -> Iterator[SearchStep]:
        """Start from earlier trials, put layers into float, then back to integers."""
        if self.known:
            yield self._remember()
        first = yield from self._attempt("", ())
        if first is None:
            return
        chosen = yield from self._put_back(first)
        if chosen is not None:
            yield from self._take_out(chosen)

    def _put_back(self, now: PrecisionTrial) -> Generator[SearchStep, None, tuple[str, ...] | None]:
        """Put layers into float. Return them, or None if the agreement stays too low."""
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
        """Yield a layer, the roundings that it would avoid, and the new set, most noise first.

        A layer that did not help is tried again only if it would avoid more roundings now.
        """
        for layer in sorted(self.shares.keys() - set(chosen), key=self._most_noise_first):
            for option in self.layers.with_readers(layer):
                grown = tuple(dict.fromkeys((*chosen, *option)))
                freed = self.layers.freed(chosen, grown)
                if freed and (layer, freed) not in tried:
                    yield layer, freed, grown

    def _most_noise_first(self, layer: str) -> tuple[float, str]:
        """Return a key that sorts the layer with the most noise first, then by name."""
        return -self.shares.get(layer, 0.0), layer

    def _take_out(self, chosen: tuple[str, ...]) -> Generator[SearchStep, None, None]:
        """Put layers back to integers as long as the agreement stays enough."""
        for layer in sorted(chosen, key=self._most_noise_first, reverse=True):
            rest = tuple(name for name in chosen if name != layer)
            trial = yield from self._attempt(layer, rest)
            if trial is None:
                return
            if trial.holds:
                chosen = rest

    def _attempt(
        self, layer: str, chosen: tuple[str, ...]
    ) -> Generator[SearchStep, None, PrecisionTrial | None]:
        """Measure a set of layers in float, unless it is known. None if no time is left."""
        float_layers = self.layers.layers(chosen)
        if float_layers in self.known:
            return self.known[float_layers]
        if self.known and self.runner.spent_s() >= self.budget_s:
            return None
        scheme, data = self.runner.make(self.layers.operations(float_layers))
        trial = self.runner.measure(layer, float_layers, data, self.required)
        self.known[float_layers] = trial
        if self.best is None or best_trial((self.best.best, trial)) is trial:
            self.best = SearchStep(trial, trial, scheme, data)
        yield replace(self.best, trial=trial, repeated=False)
        return trial

    def _remember(self) -> SearchStep:
        """Make the file of the best earlier trial again.

        Raises:
            IntermediateFileError: The file has another size than before.
        """
        trial = best_trial(self.known.values())
        scheme, data = self.runner.make(self.layers.operations(trial.float_layers))
        if len(data) != trial.bytes:
            raise IntermediateFileError(
                f"search: an earlier trial's file had {trial.bytes} bytes, made again it has "
                f"{len(data)}; it is of another quantization; search without earlier trials"
            )
        self.best = SearchStep(trial, trial, scheme, data, repeated=True)
        return self.best
