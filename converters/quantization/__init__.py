"""Quantization of float files: ranges from calibration pictures, then 8-bit or 16-bit files."""
