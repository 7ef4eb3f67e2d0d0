"""Bringing a file to an HTTP(S) server, by PUT or POST. A cold module (lib/cold.py). Source: RFC 9110 section 9.3."""

import asyncio

from cold import cold


async def run(url, source, way):
    """See way.Way.upload."""
    is_post = way.post is not None and way.post()
    size = 0
    for piece in source():
        size += len(piece.encode())
        await asyncio.sleep_ms(0)  # others have their turn
    more = ["Content-Type: text/plain; charset=utf-8", "Content-Length: %d" % size]
    if is_post:
        name = cold("transfer.address").parse(url)[6].partition("?")[0].rpartition("/")[2]
        more.append('Content-Disposition: attachment; filename="%s"' % name)

    async def body(pipe):
        """Exactly `size` bytes of what the source gives: so many were promised."""
        left = size
        for piece in source():
            data = piece.encode()[:left]
            left -= len(data)
            await pipe.send(data)
        while left:
            data = b"\n" * min(left, 64)
            left -= len(data)
            await pipe.send(data)

    pipe, status, reason, _ = await cold("transfer.http").ask(url, "POST" if is_post else "PUT", way, more, body)
    pipe.close()
    if not 200 <= status < 300:
        raise OSError("HTTP %d %s" % (status, reason))
