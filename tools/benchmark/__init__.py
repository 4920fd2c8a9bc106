"""``python -m tools benchmark scan|network|registration``: measured on this machine, with the protocol."""
