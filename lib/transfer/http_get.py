"""Fetching a file over HTTP(S), the rest of it where that can be. A cold module (lib/cold.py).

Source: RFC 9110 section 14 (ranges), RFC 9112 sections 6 and 7 (length, chunks).
"""

from cold import cold


async def run(url, sink, way):
    """See way.Way.download."""
    more = ()
    if sink.offset and sink.tag:  # without a tag nobody could tell whether it is the same file
        more = ("Range: bytes=%d-" % sink.offset, "If-Range: " + sink.tag)
    pipe, status, reason, fields = await cold("transfer.http").ask(url, "GET", way, more)
    try:
        offset = 0
        if status == 206 and more:
            offset = sink.offset
            if not fields.get("content-range", "").startswith("bytes %d-" % offset):
                raise OSError("another range than asked for")
        elif status == 416 and more:
            sink.offset = 0  # another file than before: from the beginning, at the next attempt
            raise OSError("the file has changed")
        elif status != 200:
            raise OSError("HTTP %d %s" % (status, reason))
        if fields.get("content-encoding", "identity") != "identity":
            raise OSError("unknown content encoding")
        length = None
        is_chunked = fields.get("transfer-encoding", "").lower() == "chunked"
        if not is_chunked and "content-length" in fields:
            length = cold("transfer.http").number(fields["content-length"])
        tag = fields.get("etag", "")
        if tag[:2] == "W/":  # not the same to the byte
            tag = ""
        tag = tag or fields.get("last-modified", "")
        fields = None
        sink.begin(offset, None if length is None else offset + length, tag)
        if is_chunked:
            while await _chunk(pipe, sink):
                pass
        else:
            await _body(pipe, sink, length)
    finally:
        pipe.close()


async def _body(pipe, sink, length):
    """`length` bytes, or until the end (None)."""
    while length is None or length:
        view = await pipe.read(1024 if length is None else min(length, 1024))
        if not view:
            if length is None:
                return
            raise OSError("%d bytes are missing" % length)
        if length is not None:
            length -= len(view)
        sink.write(view)


async def _chunk(pipe, sink):
    """One chunk; False after the last."""
    size = cold("transfer.http").number(str(await pipe.line(), "utf-8").partition(";")[0].strip(), 16)
    if size:
        await _body(pipe, sink, size)
        if await pipe.line():
            raise OSError("malformed chunk")
        return True
    while await pipe.line():
        pass
    return False
