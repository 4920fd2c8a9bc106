"""Output that nobody reads any more: ``python -m tools ... | head`` ends neither the work nor in a traceback."""

import os
from typing import Any, TextIO


class LastingStream:
    """A stream of the process; once its reader is gone, what is written is dropped.

    Args:
        stream: ``sys.stdout`` or ``sys.stderr``.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop where the reader is gone."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        """Flush, or drop where the reader is gone."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._drop()

    def _drop(self) -> None:
        """Lead the stream's descriptor nowhere; what is buffered goes there too."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
