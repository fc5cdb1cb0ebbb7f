"""Pruning by Torch-Pruning, with the weights and pictures of `benchmarks/compression.py`.

    python benchmarks/compression_peers.py inputs --pack network.npz    # in this project's .venv
    python -m venv .venv-torch
    .venv-torch/bin/pip install torch torch-pruning==1.6.1 numpy
    .venv-torch/bin/python benchmarks/compression_peers.py inputs --network network.npz

The network is rebuilt in PyTorch; the command ends where its answers differ from Keras'. Channels
are pruned globally in multiples of 8, the residual stream too, and the network then learns from
labels and from the network before (Hinton et al. 2015) by SGD with momentum; a step is 32 pictures.
The best of several learning rates on the validation pictures counts. With CUDA everything runs
there.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

BLOCKS = ((3, 64), (4, 128), (6, 256), (3, 512))
BATCH = 32
RATES = (0.0003, 0.001, 0.003)
TEACHER = 0.5
"""Weight of the teacher's answers beside the labels, as in `converters.learning.losses`."""


def main() -> int:
    options = parse()
    if options.pack:
        pack(options.inputs, options.pack)
        return 0
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    where = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"torch {torch.__version__} on {where}")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    data = {
        name: np.load(options.inputs / f"{name}.npy")
        for name in ("train", "train-labels", "validation", "validation-labels", "test")
    }
    data["test-labels"] = np.load(options.inputs / "test-labels.npy")
    teacher = network(np.load(options.network), torch).to(device).eval()
    test = prepared(data["test"], torch).to(device)
    answers = answered(teacher, test, torch)
    reference = np.load(options.inputs / "reference.npy")
    apart = float(np.abs(answers - reference).max())
    print(f"largest difference from Keras' probabilities: {apart:.1e}")
    if apart > 1e-3:
        return 1
    top1 = float((answers.argmax(1) == data["test-labels"]).mean())
    print(f"float top-1 {top1:.2%}\n")
    print("| by | multiply-adds | parameters | steps | top-1 | against float | agreement | s |")
    print("|---|---|---|---|---|---|---|---|")
    for share in options.shares:
        for importance in options.importances:
            for steps in options.steps:
                rows = [
                    row(teacher, data, share, importance, steps, seed, device, torch, answers)
                    for seed in options.seeds
                ]
                print(line(importance, steps, rows), flush=True)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", type=Path, help="folder of benchmarks/quantization.py --inputs")
    parser.add_argument("--pack", type=Path, help="write the model's weights there, and end")
    parser.add_argument("--network", type=Path, help="what --pack wrote")
    parser.add_argument("--shares", type=numbers(float), default=[0.64, 0.5, 0.35])
    parser.add_argument("--seeds", type=numbers(int), default=[0, 1, 2])
    parser.add_argument("--steps", type=numbers(int), default=[0, 200, 1000])
    parser.add_argument(
        "--importances", type=numbers(str), default=["taylor", "magnitude", "hessian"]
    )
    options = parser.parse_args()
    if not options.pack and not options.network:
        parser.error("expected --pack FILE or --network FILE")
    return options


def numbers(kind: Any) -> Any:  # noqa: ANN401
    return lambda text: [kind(word) for word in text.split(",")]


def pack(inputs: Path, path: Path) -> None:
    """Write the weights of `inputs/model.keras` by the names of its layers."""
    import keras

    model = keras.models.load_model(inputs / "model.keras", compile=False)
    arrays = {
        f"{layer.name}/{number}": weight
        for layer in model.layers
        for number, weight in enumerate(layer.get_weights())
    }
    np.savez(path, **arrays)


def network(weights: Any, torch: Any) -> Any:  # noqa: ANN401
    """Return ResNet50 v1 (strides in the first 1x1 convolution of a stage) with Keras' weights."""
    nn = torch.nn

    def convolution(name: str, stride: int = 1, padding: int = 0) -> Any:  # noqa: ANN401
        kernel, bias = weights[f"{name}_conv/0"], weights[f"{name}_conv/1"]
        size, _, read, written = kernel.shape
        layer = nn.Conv2d(read, written, size, stride, padding)
        norm = nn.BatchNorm2d(written, eps=1.001e-5)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(kernel.transpose(3, 2, 0, 1)))
            layer.bias.copy_(torch.tensor(bias))
            for own, number in (
                (norm.weight, 0),
                (norm.bias, 1),
                (norm.running_mean, 2),
                (norm.running_var, 3),
            ):
                own.copy_(torch.tensor(weights[f"{name}_bn/{number}"]))
        return nn.Sequential(layer, norm)

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, name: str, stride: int) -> None:
            super().__init__()
            self.one = convolution(f"{name}_1", stride)
            self.two = convolution(f"{name}_2", padding=1)
            self.three = convolution(f"{name}_3")
            has_projection = f"{name}_0_conv/0" in weights
            self.shortcut = convolution(f"{name}_0", stride) if has_projection else nn.Identity()

        def forward(self, x: Any) -> Any:  # noqa: ANN401
            y = torch.relu(self.two(torch.relu(self.one(x))))
            return torch.relu(self.shortcut(x) + self.three(y))

    blocks = [
        Block(f"conv{stage}_block{number}", 2 if number == 1 and stage > 2 else 1)
        for stage, (count, _) in enumerate(BLOCKS, start=2)
        for number in range(1, count + 1)
    ]
    kernel, bias = weights["predictions/0"], weights["predictions/1"]
    head = nn.Linear(*kernel.shape)
    with torch.no_grad():
        head.weight.copy_(torch.tensor(kernel.T))
        head.bias.copy_(torch.tensor(bias))
    return nn.Sequential(
        *(convolution("conv1", 2, 3), nn.ReLU(), nn.ZeroPad2d(1), nn.MaxPool2d(3, 2)),
        *(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head),
    )


def prepared(pictures: np.ndarray, torch: Any) -> Any:  # noqa: ANN401
    """Return what the network expects (caffe), channels first."""
    reversed_channels = pictures[..., ::-1].astype(np.float32)
    centred = reversed_channels - np.array([103.939, 116.779, 123.68], np.float32)
    return torch.tensor(np.ascontiguousarray(centred.transpose(0, 3, 1, 2)))


def answered(model: Any, pictures: Any, torch: Any) -> np.ndarray:  # noqa: ANN401
    with torch.no_grad():
        found = [torch.softmax(model(part), 1) for part in torch.split(pictures, 200)]
    result: np.ndarray = torch.cat(found).cpu().numpy()
    return result


def row(
    teacher: Any,  # noqa: ANN401
    data: dict[str, np.ndarray],
    share: float,
    importance: str,
    steps: int,
    seed: int,
    device: str,
    torch: Any,  # noqa: ANN401
    reference: np.ndarray,
) -> dict[str, float]:
    """Prune, train and judge one network."""
    import torch_pruning as tp

    started = time.perf_counter()
    rng = np.random.default_rng(seed)
    pruned = prune(teacher, data, share, importance, rng, device, torch)
    example = torch.zeros(1, 3, *data["test"].shape[1:3], device=device)
    before, after = (tp.utils.count_ops_and_params(m, example) for m in (teacher, pruned))
    judging = prepared(data["validation"], torch).to(device)
    best, best_top1 = pruned, right(pruned, judging, data["validation-labels"], torch)
    for rate in RATES if steps else ():
        student = copy.deepcopy(pruned)
        train(student, teacher, data, steps, rate, rng, device, torch)
        top1 = right(student, judging, data["validation-labels"], torch)
        if top1 > best_top1:
            best, best_top1 = student, top1
    answers = answered(best, prepared(data["test"], torch).to(device), torch)
    labels = data["test-labels"]
    return {
        "multiply_adds": after[0] / before[0],
        "parameters": after[1] / before[1],
        "top1": float((answers.argmax(1) == labels).mean()),
        "change": float(
            (answers.argmax(1) == labels).mean() - (reference.argmax(1) == labels).mean()
        ),
        "agreement": float((answers.argmax(1) == reference.argmax(1)).mean()),
        "seconds": time.perf_counter() - started,
    }


def right(model: Any, pictures: Any, labels: np.ndarray, torch: Any) -> float:  # noqa: ANN401
    return float((answered(model, pictures, torch).argmax(1) == labels).mean())


def prune(
    teacher: Any,  # noqa: ANN401
    data: dict[str, np.ndarray],
    share: float,
    importance: str,
    rng: np.random.Generator,
    device: str,
    torch: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Prune in small steps until the share of the multiply-adds is reached."""
    import torch_pruning as tp

    model = copy.deepcopy(teacher)
    example = torch.zeros(1, 3, *data["test"].shape[1:3], device=device)
    full, _ = tp.utils.count_ops_and_params(model, example)
    kinds = {
        "taylor": tp.importance.GroupTaylorImportance,
        "magnitude": tp.importance.GroupMagnitudeImportance,
        "hessian": tp.importance.GroupHessianImportance,
    }
    judge = kinds[importance]()
    pruner = tp.pruner.BasePruner(
        *(model, example, judge),
        global_pruning=True,
        pruning_ratio=0.9,
        max_pruning_ratio=0.9,
        iterative_steps=90,
        ignored_layers=[model[-1]],
        round_to=8,
    )
    chosen = rng.permutation(len(data["train"]))[:1000]
    pictures = prepared(data["train"][chosen], torch).to(device)
    labels = torch.tensor(data["train-labels"][chosen]).long().to(device)
    while tp.utils.count_ops_and_params(model, example)[0] > share * full:
        if importance != "magnitude":
            gradients(model, judge, pictures, labels, importance, torch)
        pruner.step()
    return model


def gradients(
    model: Any,  # noqa: ANN401
    judge: Any,  # noqa: ANN401
    pictures: Any,  # noqa: ANN401
    labels: Any,  # noqa: ANN401
    importance: str,
    torch: Any,  # noqa: ANN401
) -> None:
    """Give the weights the gradients that an importance reads."""
    model.zero_grad()
    loss = torch.nn.functional.cross_entropy
    if importance == "hessian":
        judge.zero_grad()
        few = slice(0, 64)
        for each in loss(model(pictures[few]), labels[few], reduction="none"):
            model.zero_grad()
            each.backward(retain_graph=True)
            judge.accumulate_grad(model)
        return
    for part, own in zip(torch.split(pictures, 200), torch.split(labels, 200), strict=True):
        loss(model(part), own, reduction="sum").backward()


def train(
    student: Any,  # noqa: ANN401
    teacher: Any,  # noqa: ANN401
    data: dict[str, np.ndarray],
    steps: int,
    rate: float,
    rng: np.random.Generator,
    device: str,
    torch: Any,  # noqa: ANN401
) -> None:
    """Learn from labels and the teacher, with a rate that falls by a cosine."""
    student.train()
    optimizer = torch.optim.SGD(student.parameters(), rate, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    functions = torch.nn.functional
    for _ in range(steps):
        chosen = rng.integers(0, len(data["train"]), BATCH)
        pictures = prepared(data["train"][chosen], torch).to(device)
        labels = torch.tensor(data["train-labels"][chosen]).long().to(device)
        with torch.no_grad():
            wanted = torch.softmax(teacher(pictures), 1)
        answers = student(pictures)
        loss = functions.cross_entropy(answers, labels)
        loss = loss + TEACHER * functions.cross_entropy(answers, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    student.eval()


def line(importance: str, steps: int, rows: list[dict[str, float]]) -> str:
    """Return the medians of the seeds, with the smallest and largest."""

    def spread(name: str) -> str:
        values = sorted(one[name] for one in rows)
        middle, low, high = values[len(values) // 2], values[0], values[-1]
        words = [form_of(value, name) for value in (middle, low, high)]
        return f"{words[0]} ({words[1]}–{words[2]})"

    def form_of(value: float, name: str) -> str:
        if name in ("top1", "agreement"):
            return f"{value:.2%}"
        if name == "change":
            return f"{100 * value:+.2f}"
        return f"{value:.0f}" if name == "seconds" else f"{value:.3f}"

    cells = (
        importance,
        spread("multiply_adds"),
        spread("parameters"),
        str(steps),
        spread("top1"),
        spread("change"),
        spread("agreement"),
        spread("seconds"),
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
