"""``model.keras`` to artifacts: what has to be made, and the processes that make it."""
