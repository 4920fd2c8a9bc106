"""Output that cannot be shown: ``... 2>&1 | head`` ends, hangs or changes no work that is only watched."""

import io
import os
from contextlib import suppress
from typing import Any, TextIO


class LastingStream:
    """A stream of the process; what is written once its reader is gone or its disk is full is dropped.

    Args:
        stream: ``sys.stdout`` or ``sys.stderr``; None, as Python has them where a process was given none.

    Attributes:
        failure: why something was lost that somebody waits for; a reader that left does not count.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream or io.StringIO()
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write or drop."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError) as error:  # a stream that is closed raises ValueError
            self._drop(error)
            return len(text)

    def flush(self) -> None:
        """Flush or drop."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._drop(error)

    def _drop(self, error: OSError | ValueError) -> None:
        """Lead the stream's descriptor nowhere; what is buffered goes there too."""
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            self.failure = error
        with suppress(OSError, ValueError):  # no descriptor: nothing is buffered that Python would try again at its end
            descriptor = self._stream.fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
