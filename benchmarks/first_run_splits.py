"""Recipes for the first run, compared on random splits of the training and validation digits.

    python benchmarks/first_run_splits.py --pictures digits32.npz --write   # here, with resnet_edge
    python first_run_splits.py --pictures digits32.npz --splits 6           # with PyTorch and a GPU

The test split is in no split. Network, augmentation, AdamW and schedule are those of the product,
written once more in PyTorch: whole steps run as CUDA graphs, so that a training takes five seconds
and many recipes can be compared. `first_run_recipe.py` then trains the product itself.
"""

from __future__ import annotations

import argparse
import functools
import math
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 32
TRAIN = 1053
"""Training pictures, as in the product's own split; the others validate."""
STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))
MEANS = (103.939, 116.779, 123.68)


@dataclass(frozen=True)
class Recipe:
    """A training's settings."""

    epochs: int = 8
    batch: int = 32
    rate: float = 2e-3
    shortcuts: bool = True
    """True if each block begins as its shortcut."""
    dropout: float = 0.2
    variation: float = 1.0
    """Share of the product's largest shift, turn and zoom."""
    decay: float = 0.05
    smoothing: float = 0.1


RECIPES = {
    "until now": Recipe(12, 16, 1e-3, shortcuts=False),
    "its rate doubled": Recipe(12, 16, 2e-3, shortcuts=False),
    "larger steps": Recipe(12, 32, 2e-3, shortcuts=False),
    "the default": Recipe(),
    "fewer epochs": Recipe(epochs=6),
    "more epochs": Recipe(epochs=10),
    "a higher rate": Recipe(rate=3e-3),
    "a higher rate, fewer epochs": Recipe(epochs=6, rate=3e-3),
    "a lower rate": Recipe(rate=1e-3),
    "still larger steps": Recipe(batch=64),
    "no dropout": Recipe(dropout=0.0),
    "less variation": Recipe(variation=2 / 3),
}


def main() -> int:
    """Write the pictures, or train every recipe on every split."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pictures", type=Path, required=True, help="the .npz file")
    parser.add_argument("--write", action="store_true", help="write it, and stop")
    parser.add_argument("--splits", type=int, default=6)
    parser.add_argument("--recipes", help="names, separated by commas; default: all")
    arguments = parser.parse_args()
    if arguments.write:
        write_pictures(arguments.pictures)
        return 0
    data = np.load(arguments.pictures)
    names = arguments.recipes.split(",") if arguments.recipes else list(RECIPES)
    for name in names:
        found = [train(RECIPES[name], data["x"], data["y"], s) for s in range(arguments.splits)]
        print(f"{name:30} {statistics.mean(found):.2%} ({min(found):.2%})  {RECIPES[name]}")
        sys.stdout.flush()
    return 0


def write_pictures(path: Path) -> None:
    """Write grey levels and classes of the product's training and validation pictures."""
    import tempfile

    from resnet_edge.data.dataset import load_dataset
    from resnet_edge.data.decoded import decode_pictures
    from resnet_edge.data.split import SplitShares, split_dataset
    from resnet_edge.ondevice.fit import Fit
    from resnet_edge.options import EMBEDDED_DATA

    with tempfile.TemporaryDirectory() as cache:
        split = split_dataset(load_dataset(EMBEDDED_DATA, Path(cache)), SplitShares())
        pictures = split.train + split.validation
        pixels = decode_pictures(pictures, (SIDE, SIDE), Fit.CROP, Path(cache))
        np.savez_compressed(path, x=pixels[..., 0], y=np.array([p.label for p in pictures]))


def train(recipe: Recipe, pixels: np.ndarray, labels: np.ndarray, split: int) -> float:
    """Return the validation accuracy of the epoch with the lowest validation loss."""
    import torch
    from torch.nn import functional as nnf

    torch.manual_seed(split)
    order = torch.tensor(np.random.default_rng(1234 + split).permutation(len(labels))).cuda()
    x, y = torch.tensor(pixels).cuda(), torch.tensor(labels).cuda()
    held, learned = order[: len(labels) - TRAIN], order[len(labels) - TRAIN :]
    model = resnet50(recipe).cuda().to(memory_format=torch.channels_last)
    rate = torch.tensor(0.0, device="cuda")
    step, batch = compiled_step(recipe, model, rate)
    steps = TRAIN // recipe.batch
    total, warmup = steps * recipe.epochs, round(0.1 * steps * recipe.epochs)
    best, accuracy, number = math.inf, 0.0, 0
    for _ in range(recipe.epochs):
        drawn = learned[torch.randperm(TRAIN, device="cuda")]
        for start in range(0, steps * recipe.batch, recipe.batch):
            number += 1
            rise = number / warmup
            fall = 0.5 + 0.5 * math.cos(math.pi * (number - warmup) / (total - warmup))
            rate.fill_(recipe.rate * (rise if number <= warmup else fall))
            chosen = drawn[start : start + recipe.batch]
            batch[0].copy_(x[chosen])
            batch[1].copy_(y[chosen])
            step()
        model.eval()
        with torch.no_grad():
            answers = model(normalized(x[held].float()))
        model.train()
        loss = nnf.cross_entropy(answers, y[held], label_smoothing=recipe.smoothing).item()
        if loss < best:
            best, accuracy = loss, (answers.argmax(1) == y[held]).float().mean().item()
    return accuracy


def compiled_step(recipe: Recipe, model: Any, rate: Any) -> tuple[Callable[[], None], Any]:  # noqa: ANN401
    """Record one training step; return what plays it, and the batch to fill before."""
    import torch
    from torch.nn import functional as nnf

    weights = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": weights, "weight_decay": recipe.decay}]
    groups += [{"params": others, "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, lr=rate, eps=1e-7, fused=True, capturable=True)
    for group in adamw.param_groups:
        group["lr"] = rate
    x = torch.zeros(recipe.batch, SIDE, SIDE, dtype=torch.uint8, device="cuda")
    y = torch.zeros(recipe.batch, dtype=torch.long, device="cuda")

    def step() -> None:
        adamw.zero_grad(set_to_none=False)
        answers = model(normalized(varied(x.float(), recipe.variation)))
        nnf.cross_entropy(answers, y, label_smoothing=recipe.smoothing).backward()
        adamw.step()

    before = {name: value.clone() for name, value in model.state_dict().items()}
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(3):  # a graph is recorded of what has run before
            step()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    model.load_state_dict(before)
    for state in adamw.state.values():
        for value in state.values():
            value.zero_()
    return graph.replay, (x, y)


def varied(levels: Any, share: float) -> Any:  # noqa: ANN401 - PyTorch is not installed here
    """Shift, turn and stretch grey pictures ``(n, side, side)`` at random; edges continue."""
    import torch
    from torch.nn import functional as nnf

    def draw(largest: float) -> torch.Tensor:
        return (torch.rand(len(levels), device="cuda") * 2 - 1) * largest * share

    turn, wide, high = draw(0.05 * 2 * math.pi), 1 + draw(0.15), 1 + draw(0.15)
    right, down = draw(2 * 0.1), draw(2 * 0.1)
    rows = (
        torch.stack([turn.cos() * wide, -turn.sin() * high, right], 1),
        torch.stack([turn.sin() * wide, turn.cos() * high, down], 1),
    )
    pictures = levels.unsqueeze(1)
    grid = nnf.affine_grid(torch.stack(rows, 1), list(pictures.shape), align_corners=False)
    return nnf.grid_sample(
        pictures, grid, padding_mode="border", align_corners=False, mode="bilinear"
    ).squeeze(1)


def normalized(levels: Any) -> Any:  # noqa: ANN401
    """Grey levels ``(n, side, side)`` to what the network expects, the preprocessing ``caffe``."""
    import torch

    colours = levels.unsqueeze(1).expand(-1, 3, -1, -1) - means()
    return colours.contiguous(memory_format=torch.channels_last)


@functools.cache
def means() -> Any:  # noqa: ANN401
    """Return the means of ImageNet's colours, put on the GPU before a graph is recorded."""
    import torch

    return torch.tensor(MEANS, device="cuda").view(1, 3, 1, 1)


def resnet50(recipe: Recipe) -> Any:  # noqa: ANN401
    """Build the product's ResNet50 with random weights as Keras draws them."""
    from torch import nn
    from torch.nn import functional as nnf

    def conv(inner: int, outer: int, side: int, stride: int = 1) -> nn.Sequential:
        layer = nn.Conv2d(inner, outer, side, stride, side // 2)
        deviation = math.sqrt(2 / (inner * side * side)) / 0.87962566  # he_normal is truncated
        nn.init.trunc_normal_(layer.weight, 0, deviation, -2 * deviation, 2 * deviation)
        nn.init.zeros_(layer.bias)
        return nn.Sequential(layer, nn.BatchNorm2d(outer, eps=1.001e-5, momentum=0.1))

    class Block(nn.Module):
        def __init__(self, inner: int, width: int, stride: int) -> None:
            super().__init__()
            self.narrow, self.middle = conv(inner, width, 1, stride), conv(width, width, 3)
            self.wide = conv(width, 4 * width, 1)
            self.shortcut = conv(inner, 4 * width, 1, stride) if inner != 4 * width else None
            if recipe.shortcuts:
                nn.init.zeros_(self.wide[1].weight)

        def forward(self, x: Any) -> Any:  # noqa: ANN401
            y = self.wide(nnf.relu(self.middle(nnf.relu(self.narrow(x)))))
            return nnf.relu(y + (x if self.shortcut is None else self.shortcut(x)))

    stem = nn.Sequential(conv(3, 64, 7, 2), nn.ReLU(), nn.ZeroPad2d(1), nn.MaxPool2d(3, 2))
    blocks, inner = [], 64
    for stage, (count, width) in enumerate(STAGES):
        for number in range(count):
            blocks.append(Block(inner, width, 2 if stage and not number else 1))
            inner = 4 * width
    head = nn.Linear(inner, 10)
    nn.init.xavier_uniform_(head.weight)
    nn.init.zeros_(head.bias)
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(recipe.dropout))
    return nn.Sequential(stem, *blocks, pool, head)


if __name__ == "__main__":
    sys.exit(main())
