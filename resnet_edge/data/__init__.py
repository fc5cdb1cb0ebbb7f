"""Pictures in: folders and archives, splits, calibration sets, manifests, the cache of pixels."""
