"""ResNet50 on edge devices: fine-tune, export, and proof for every exported file."""
