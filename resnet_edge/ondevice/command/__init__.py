"""The program inside the bundle that ``resnet-edge bundle`` writes; the device starts it."""
