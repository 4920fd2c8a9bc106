"""What a client is told: a status, and a reason without any path of the server."""

import re
from collections.abc import Mapping

from common.errors import InputError

#: An absolute path of Linux, macOS or Windows; its last part may stay.
_PATH = re.compile(r"(?:(?<![\w.])/|\b[A-Za-z]:\\)(?:[^\s/\\:;,'\"()]+[/\\])+(?=[^\s/\\:;,'\"()]*)")


class RefusedError(InputError):
    """A request cannot be served; ``status`` is HTTP's, the text is what the user reads."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def without_paths(text: str, names: Mapping[str, str] | None = None) -> str:
    """The text with known paths replaced by what a user calls them, and only the last part of every other path left.

    >>> without_paths("fixed image /srv/a/t1.nii.gz: no such file", {"/srv/a/t1.nii.gz": "study t1"})
    'fixed image study t1: no such file'
    >>> without_paths("moving image /tmp/x/labels.nii.gz: damaged")
    'moving image labels.nii.gz: damaged'
    """
    for path in sorted(names or {}, key=len, reverse=True):
        text = text.replace(path, (names or {})[path])
    return _PATH.sub("", text)
