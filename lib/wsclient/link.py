"""An open socket: reads and writes that never block.

asyncio.Stream is not used on purpose. A cancelled drain() sends bytes twice, a cancelled readexactly() loses some, its
write buffer has no bound, and its TLS wait asks the TLS object for readiness, which answers for one direction only.
"""

from asyncio import core


class Link:
    """A connected stream. One task may wait for readable, one for writable."""

    def __init__(self, raw, stream):
        self._raw = raw
        self._stream = stream  # the same, or its TLS wrapper
        self.read = stream.readinto  # (buf) -> bytes read, 0 at the end, None: not now. OSError
        self.write = stream.write  # (buf) -> bytes taken, None: not now, try again with the SAME buffer (TLS). OSError

    # Both wait on the raw socket. TLS has handed out all it holds when a read returns None, and it takes one record at
    # a time from the socket, so readiness of the raw socket is exactly what is missing.

    def readable(self):
        yield core._io_queue.queue_read(self._raw)

    def writable(self):
        yield core._io_queue.queue_write(self._raw)

    def close(self):
        """Close both layers. No task may be waiting any more."""
        for layer in (self._stream, self._raw):
            try:
                layer.close()
            except OSError:
                pass
