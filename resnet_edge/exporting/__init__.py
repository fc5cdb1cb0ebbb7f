"""``model.keras`` to artifacts.

``inputs`` describes the model and the calibration pictures, ``stale`` finds the artifacts that have
to be made, ``processes`` runs the workers that make them. In a worker (``worker``),
``serving_graph`` builds the graph, ``writers`` names the writer of each format, and ``quantizing``
makes the quantization that all integer artifacts share.
"""
