"""The graph that every format is converted from: the model, rewritten, with its preprocessing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import keras

from converters.preprocessing import PREPROCESSINGS
from converters.rewrites.all_rewrites import NECESSARY, REWRITES, Optimized, fold_into, optimize
from converters.serving import serving_model
from resnet_edge.exporting.job import ExportInputs
from resnet_edge.model.classifiers import load_classifier


@dataclass(frozen=True)
class ServingGraph:
    """The graph to convert, with the facts about it that sidecars record."""

    serving: keras.Model
    parameters: int
    optimized: Optimized

    def with_rewrite(self, name: str) -> ServingGraph:
        """Return the same graph with one more rewrite in its record."""
        applied = (*self.optimized.applied, name)
        return replace(self, optimized=replace(self.optimized, applied=applied))


def build_graph(inputs: ExportInputs) -> ServingGraph:
    """Load the model, rewrite it exactly, and put the preprocessing in front."""
    model = load_classifier(inputs.model, inputs.size)
    optimized = optimize(model, REWRITES if inputs.rewrites else NECESSARY)
    preprocessing = PREPROCESSINGS[inputs.preprocessing]
    if inputs.rewrites:
        optimized, preprocessing = fold_into(optimized, preprocessing)
    serving = serving_model(optimized.model, preprocessing)
    return ServingGraph(serving, model.count_params(), optimized)
