"""What runs on the device, out of the bundle that ``resnet-edge bundle`` writes.

Standard library, NumPy (Pillow where it decodes) and one runtime; Python 3.8 and later.
"""
