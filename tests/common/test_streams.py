"""A reader that leaves does not stop the writer, a full disk is told."""

import io
import os
import sys
from pathlib import Path

import pytest

from common.streams import LastingStream


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break otherwise there")
def test_what_nobody_reads_is_dropped():
    reader, writer = os.pipe()
    stream = LastingStream(os.fdopen(writer, "w"))
    os.close(reader)
    for _ in range(3):
        stream.write("x" * 100_000)
        stream.flush()
    stream.close()
    assert stream.failure is None


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_full_disk_is_remembered():
    with open("/dev/full", "w") as file:
        stream = LastingStream(file)
        print("text", file=stream, flush=True)
        print("more", file=stream, flush=True)
    assert "No space left" in str(stream.failure)


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_a_stream_that_is_closed_or_was_never_there(stream):
    if stream is not None:
        stream.close()
    lasting = LastingStream(stream)
    print("text", file=lasting, flush=True)
    assert lasting.failure is None


def test_what_is_read_arrives(tmp_path: Path):
    with (tmp_path / "out").open("w") as file:
        stream = LastingStream(file)
        print("text", file=stream, flush=True)
        assert stream.isatty() is False and stream.fileno() == file.fileno()
    assert (tmp_path / "out").read_text() == "text\n"
