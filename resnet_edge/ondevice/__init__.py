"""All that also runs on a device: Python 3.8, the standard library, NumPy and one runtime.

It imports nothing of the product but ``resnet_edge.errors`` and ``resnet_edge.units``. Pillow is
needed only where a picture is decoded.
"""
