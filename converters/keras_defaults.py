"""Keras as its documentation has it, whatever the user's ``~/.keras/keras.json`` says.

``channels_first`` there builds other networks than the formats have; ``float16`` makes files that
claim to be float32. Layers that are made here need the defaults as much as networks that are
loaded.
"""

from __future__ import annotations

import keras


def use_keras_defaults() -> None:
    """Set image format, float type and epsilon for this process, before a network is made."""
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_dtype_policy("float32")
