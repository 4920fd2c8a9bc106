"""Output that cannot be shown: ``python -m tools ... | head`` ends neither the work nor in a traceback."""

import os
from typing import Any, TextIO


class LastingStream:
    """A stream of the process; what is written once its reader is gone or its disk is full is dropped.

    Args:
        stream: ``sys.stdout`` or ``sys.stderr``.

    Attributes:
        failure: why something was lost that somebody waits for; a reader that left does not count.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write or drop."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._drop(error)
            return len(text)

    def flush(self) -> None:
        """Flush or drop."""
        try:
            self._stream.flush()
        except OSError as error:
            self._drop(error)

    def _drop(self, error: OSError) -> None:
        """Lead the stream's descriptor nowhere; what is buffered goes there too."""
        if not isinstance(error, BrokenPipeError):
            self.failure = error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
