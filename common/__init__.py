"""The library behind every registration bundle: scans, blocks, networks, field geometry, data and reports.

Layers, bottom to top: ``spatial`` and ``scan``; ``blocks``; ``networks``; ``geometry`` and ``data``; ``report``.
Nothing here imports ``bundles`` or ``tools``.
"""
