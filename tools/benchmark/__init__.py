"""``python -m tools benchmark ...``: measured on this machine, with the protocol."""
