"""The library behind every registration bundle. Its rooms and layers: docs/architecture.md.

Nothing here imports ``bundles`` or ``tools``.
"""

import os

__version__ = "0.3.0"

# Volumes in huge pages: PyTorch asks Linux for them where this is set before its first large tensor. A network writes
# gigabytes of fresh memory, and four kilobytes at a time that takes as long as its smaller layers (264 MB: 0.11 s,
# with huge pages 0.06 s). "0" forbids it.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
