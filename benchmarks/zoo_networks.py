"""The networks of `benchmarks/zoo.py`: those of keras.applications, and three that people build.

All are trained from random weights, for minutes and not for accuracy: a trained network has the
outliers, the dead channels and the correlations that quantizing meets. The ResNet50 is the trained
one of ``--model``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trained_networks import Recipe


@dataclass(frozen=True)
class Network:
    """A network and the pictures that it is trained on."""

    recipe: Recipe
    pictures: int = 8000
    """Number of pictures that an epoch sees."""
    side: int = 64
    """Height and width of the input in pixels."""


def application(name: str, **options: float) -> Callable[[tuple[int, int], int], Any]:
    """Return the builder of a network of keras.applications."""

    def build(size: tuple[int, int], classes: int) -> Any:  # noqa: ANN401
        import keras

        network = getattr(keras.applications, name)
        return network(input_shape=(*size, 3), weights=None, classes=classes, **options)

    return build


def small_vit(size: tuple[int, int], classes: int) -> Any:  # noqa: ANN401
    """A vision transformer (Dosovitskiy et al. 2021) of 4 blocks, with 8x8 patches and 96 channels.

    Positions come from a depthwise convolution over the patches (Chu et al. 2021), which needs no
    layer of its own.
    """
    import keras
    from keras import layers

    width, tokens = 96, (size[0] // 8) * (size[1] // 8)
    image = keras.Input((*size, 3))
    x = layers.Conv2D(width, 8, 8)(image)
    x = layers.Add()([x, layers.DepthwiseConv2D(3, padding="same")(x)])
    x = layers.Reshape((tokens, width))(x)
    for _ in range(4):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, layers.MultiHeadAttention(4, width // 4)(y, y)])
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.Dense(2 * width, activation="gelu")(y)
        x = layers.Add()([x, layers.Dense(width)(y)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-6)(x))
    return keras.Model(image, layers.Dense(classes, activation="softmax")(x))


def nested_transfer(size: tuple[int, int], classes: int) -> Any:  # noqa: ANN401
    """Keras' guide to transfer learning: augmentation, scaling and a base model as one layer.

    The base is trained too, as after a guide's last chapter (fine-tuning).
    """
    import keras
    from keras import layers

    base = keras.applications.MobileNet(
        input_shape=(*size, 3), alpha=0.5, include_top=False, weights=None
    )
    image = keras.Input((*size, 3))
    x = layers.RandomFlip("horizontal")(image)
    x = keras.applications.mobilenet.preprocess_input(x)
    x = layers.GlobalAveragePooling2D()(base(x))
    x = layers.Dense(64, activation="relu")(layers.Dropout(0.2)(x))
    return keras.Model(image, layers.Dense(classes, activation="softmax")(x))


def scaling_cnn(size: tuple[int, int], classes: int) -> Any:  # noqa: ANN401
    """A Sequential CNN that scales its pixels itself, as in TensorFlow's tutorial for images."""
    import keras
    from keras import layers

    stages: list[Any] = []
    for width in (32, 64, 96):
        stages += [layers.Conv2D(width, 3, padding="same", activation="relu")]
        stages += [layers.MaxPooling2D()]
    head = [layers.Flatten(), layers.Dropout(0.2), layers.Dense(128, activation="relu")]
    return keras.Sequential(
        [
            keras.Input((*size, 3)),
            layers.Rescaling(1 / 255),
            *stages,
            *head,
            layers.Dense(classes, activation="softmax"),
        ]
    )


def _network(
    build: Callable[[tuple[int, int], int], Any],
    epochs: int,
    pictures: int = 8000,
    *,
    preprocessing: str = "tf",
    peak_rate: float = 2e-3,
    side: int = 64,
) -> Network:
    return Network(Recipe(build, epochs, preprocessing, peak_rate), pictures, side)


RESNET50 = "resnet50"

NETWORKS = {
    "plain-cnn": _network(scaling_cnn, 6, preprocessing="none"),
    "nested-transfer": _network(nested_transfer, 6, preprocessing="none"),
    "mobilenetv2-0.35": _network(application("MobileNetV2", alpha=0.35), 4),
    "mobilenetv2": _network(application("MobileNetV2"), 3),
    "mobilenetv3-small": _network(application("MobileNetV3Small"), 5, preprocessing="none"),
    "efficientnetb0": _network(application("EfficientNetB0"), 3, preprocessing="none"),
    "densenet121": _network(application("DenseNet121"), 4, 4000, preprocessing="torch"),
    "resnet50v2": _network(application("ResNet50V2"), 3, 4000),
    "small-vit": _network(small_vit, 4, peak_rate=1e-3),
    "mobilenet": _network(application("MobileNet"), 3, 6000),
    "mobilenetv3-large": _network(application("MobileNetV3Large"), 3, 6000, preprocessing="none"),
    "efficientnetv2-b0": _network(application("EfficientNetV2B0"), 4, 4000, preprocessing="none"),
    "convnext-tiny": _network(
        application("ConvNeXtTiny"), 2, 1000, preprocessing="none", peak_rate=5e-4
    ),
    "xception": _network(application("Xception"), 2, 2000, side=72),
    "inceptionv3": _network(application("InceptionV3"), 4, 2000, side=80),
    "vgg16": _network(application("VGG16"), 2, 1000, preprocessing="caffe", peak_rate=1e-4),
    "nasnetmobile": _network(application("NASNetMobile"), 3, 2000),
    "resnet101": _network(application("ResNet101"), 2, 2000, preprocessing="caffe"),
}
"""By the name that ``--networks`` takes."""
