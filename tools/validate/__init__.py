"""Bundles from anywhere, judged without running any of their code (docs/registry.md)."""
