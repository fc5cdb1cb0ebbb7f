"""The two naming schemes of ResNet50's layers and how one turns into the other.

Classic: ``res3b_branch2a`` and ``bn3b_branch2a``, as in the authors' Caffe model.
keras.applications: ``conv3_block2_1_conv`` and ``conv3_block2_1_bn``.
"""

from __future__ import annotations

from resnet_edge.model.resnet50 import STAGE_BLOCKS

# In the order of keras.applications' `model.layers`, which is by distance from the output: the
# shortcut stands as far from it as branch2c, and before it because `Add` names it first.
_BRANCHES = {"branch2a": "1", "branch2b": "2", "branch1": "0", "branch2c": "3"}

_BLOCK_LETTERS = "abcdef"


def _classic_names() -> dict[str, str]:
    names = {"conv1_conv": "conv1", "conv1_bn": "bn_conv1"}
    for stage, blocks in enumerate(STAGE_BLOCKS, start=2):
        for block, letter in enumerate(_BLOCK_LETTERS[:blocks], start=1):
            for branch, number in _BRANCHES.items():
                if branch == "branch1" and block > 1:
                    continue
                theirs = f"conv{stage}_block{block}_{number}"
                names[f"{theirs}_conv"] = f"res{stage}{letter}_{branch}"
                names[f"{theirs}_bn"] = f"bn{stage}{letter}_{branch}"
    return names


CLASSIC_NAMES: dict[str, str] = _classic_names()
"""keras.applications' name of every convolution and batch normalization -> its classic name.

In the order of keras.applications' ``model.layers``.
"""

CONVOLUTIONS: tuple[str, ...] = tuple(n for n in CLASSIC_NAMES.values() if not n.startswith("bn"))
"""Classic names of the convolutions in the order of keras.applications' ``model.layers``."""

APPLICATION_NAMES: dict[str, str] = {ours: theirs for theirs, ours in CLASSIC_NAMES.items()}
"""Classic name of every convolution and batch normalization -> keras.applications' name."""


def classic_name(name: str) -> str:
    """Return the classic name of a layer named in either scheme; any other name as it is.

    Args:
        name: Name of a convolution or batch normalization, such as ``conv2_block1_1_bn``.
    """
    return CLASSIC_NAMES.get(name, name)


def batch_norm_of(convolution: str) -> str:
    """Return the classic name of the batch normalization behind a convolution.

    Args:
        convolution: Classic name of a convolution, such as ``res2a_branch1``.
    """
    return "bn_conv1" if convolution == "conv1" else f"bn{convolution.removeprefix('res')}"


def shortcut_last(names: tuple[str, ...]) -> tuple[str, ...]:
    """Reorder classic names so that a block's ``branch1`` follows its ``branch2c``.

    ``model.layers`` has the two side by side, the one that ``Add`` names first in front: in
    keras.applications that is the shortcut, here and in Keras' original ``resnet50.py`` it is not.

    Args:
        names: Classic names of one kind of layer, each ``branch1`` right before its ``branch2c``.

    Returns:
        The same names in the other order.
    """
    ordered = list(names)
    for index, name in enumerate(names[:-1]):
        if name.endswith("_branch1"):
            ordered[index : index + 2] = [names[index + 1], name]
    return tuple(ordered)
