"""8-bit and 16-bit files from a float32 file and calibration pictures.

* ``settings``: choices of the caller. ``calibration``: the function to call, ``calibrate``.
* ``fast_level``, ``equalized_level``, ``distillation``: the three levels.
* ``tflite``, ``onnx``: the files that are written from one calibrated network.
* ``layer_sensitivity``, ``mixed_precision``: the noise of each layer, and the search for layers
  that should stay in float. ``findings``: their records.
* ``tflite_network``, ``tensorflow_execution``, ``integer_simulation``: the network, run in float
  and as an integer runtime computes it.
"""
