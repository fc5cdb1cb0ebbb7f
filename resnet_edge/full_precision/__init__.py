"""The reference: the full-precision model's answers and speed on the best device of a machine.

``backend`` switches every shortcut in float32 off, ``float32_proof`` proves that they are off,
``inference`` calls the network, ``throughput`` measures larger batches, and ``compute`` does all of
it in order. ``pack`` writes one file that does the same on another machine; ``runner`` is its
command.
"""
