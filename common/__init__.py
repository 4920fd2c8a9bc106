"""The library behind every registration bundle: scans, blocks, networks, field geometry, data and reports.

Layers, bottom to top: ``spatial`` and ``scan``; ``blocks``; ``networks``; ``geometry`` and ``data``; ``report``.
Nothing here imports ``bundles`` or ``tools``.
"""

import os

# Volumes in huge pages: PyTorch asks Linux for them where this is set before its first large tensor. A network writes
# gigabytes of fresh memory, and four kilobytes at a time that takes as long as its smaller layers (264 MB: 0.11 s,
# with huge pages 0.06 s). "0" forbids it.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
