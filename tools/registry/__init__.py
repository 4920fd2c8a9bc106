"""A signed registry of bundles, over any static server or folder (docs/registry.md)."""
