"""Command line of the registration bundles: ``python -m tools <command>``."""
