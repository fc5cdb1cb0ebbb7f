"""A Keras model in, deployable bytes out.

``serving`` makes the graph that is exported, ``saved_model``, ``tflite`` and ``onnx`` write it,
``rewrites`` make it faster without changing its function, ``quantization`` makes integer files of
it. This package knows Keras, TensorFlow and ONNX, and nothing of ``resnet_edge``. Importing it
imports none of the heavy packages; its modules do.
"""
