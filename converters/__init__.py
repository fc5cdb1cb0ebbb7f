"""A Keras model in, deployable bytes out.

This package knows Keras, TensorFlow and ONNX, and nothing of ``resnet_edge``. Importing it imports
none of the heavy packages; the modules do, when they are used.
"""
