"""The program inside the bundle that ``resnet-edge bundle`` writes; it runs on the device.

Standard library, NumPy (Pillow where it decodes) and one runtime; Python 3.8 and later.
"""
