"""Results on their way from the thread that makes them to the one that sends them."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from typing import Final

_IN_MEMORY_BYTES: Final = 8 * 1024 * 1024
_CHUNK_BYTES: Final = 256 * 1024


class Spool:
    """Bytes written by one thread and read by another, in order; beyond 8 MiB on disk.

    The writer never waits for the reader: a client that sends all its lines before it reads an
    answer would otherwise wait for a server that waits for it.
    """

    def __init__(self) -> None:
        # Closed by the reader's end, which may be long after this block.
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115
        self._changed = threading.Condition()
        self._written = 0
        self._ended = False
        self._abandoned = False

    def write(self, data: bytes) -> bool:
        """Add bytes; False where nobody will read them any more."""
        with self._changed:
            if self._abandoned:
                return False
            self._file.seek(self._written)
            self._file.write(data)
            self._written += len(data)
            self._changed.notify()
        return True

    def end(self) -> None:
        """Say that nothing more will be written."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def __iter__(self) -> Iterator[bytes]:
        """What is written, as soon as it is there, to the end."""
        read = 0
        try:
            while chunk := self._read_from(read):
                read += len(chunk)
                yield chunk
        finally:
            with self._changed:
                self._abandoned = True
                self._file.close()

    def _read_from(self, place: int) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._written > place)
            self._file.seek(place)
            return self._file.read(_CHUNK_BYTES)
