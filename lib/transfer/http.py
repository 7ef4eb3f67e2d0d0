"""Files over HTTP/1.1 and HTTPS. A cold module (lib/cold.py). Source: RFC 9110, RFC 9112."""

from binascii import b2a_base64

from cold import cold
from micropython import const

from . import TransferError

_REDIRECTS = const(3)
_HEADERS = const(64)  # lines
_MAX = const(1 << 28)  # bytes of a file: more is nonsense
_MOVED = (301, 302, 303, 307, 308)


async def get(url, sink, way):
    """See transfer.download."""
    for _ in range(_REDIRECTS + 1):
        more = ()
        if sink.offset and sink.tag:  # without a tag nobody could tell whether it is the same file
            more = ("Range: bytes=%d-" % sink.offset, "If-Range: " + sink.tag)
        pipe = await _ask(url, "GET", way, more)
        try:
            status, reason, fields = await _head(pipe)
            if status in _MOVED:
                url = cold("transfer.address").redirected(url, fields.get("location", ""))
                continue
            offset = 0
            if status == 206 and more:
                offset = sink.offset
                if not fields.get("content-range", "").startswith("bytes %d-" % offset):
                    raise TransferError("another range than asked for")
            elif status == 416 and more:
                sink.offset = 0  # another file than before: from the beginning, at the next attempt
                raise TransferError("the file has changed")
            elif status != 200:
                raise TransferError("HTTP %d %s" % (status, reason))
            if fields.get("content-encoding", "identity") != "identity":
                raise TransferError("unknown content encoding")
            length = None
            is_chunked = fields.get("transfer-encoding", "").lower() == "chunked"
            if not is_chunked and "content-length" in fields:
                length = _number(fields["content-length"], 10)
            tag = fields.get("etag", "")
            if tag[:2] == "W/":  # not the same to the byte
                tag = ""
            sink.begin(offset, None if length is None else offset + length, tag or fields.get("last-modified", ""))
            if is_chunked:
                while await _chunk(pipe, sink):
                    pass
            else:
                await _body(pipe, sink, length)
            return
        finally:
            pipe.close()
    raise TransferError("more than %d redirects" % _REDIRECTS)


async def put(url, source, way):
    """See transfer.upload."""
    size = sum([len(piece.encode()) for piece in source()])
    for _ in range(_REDIRECTS + 1):
        more = ("Content-Type: text/plain; charset=utf-8", "Content-Length: %d" % size)
        if way.post:
            name = cold("transfer.address").parse(url)[6].partition("?")[0].rpartition("/")[2]
            more += ('Content-Disposition: attachment; filename="%s"' % name,)
        pipe = await _ask(url, "POST" if way.post else "PUT", way, more)
        try:
            try:
                await _send_all(pipe, source, size)
            except OSError as exc:  # it may have said why before it hung up
                try:
                    status, reason, fields = await _head(pipe)
                except (OSError, TransferError):
                    raise exc
            else:
                status, reason, fields = await _head(pipe)
            if status in _MOVED and status != 303:
                url = cold("transfer.address").redirected(url, fields.get("location", ""))
                continue
            if not 200 <= status < 300:
                raise TransferError("HTTP %d %s" % (status, reason))
            return
        finally:
            pipe.close()
    raise TransferError("more than %d redirects" % _REDIRECTS)


async def _send_all(pipe, source, size):
    """Send exactly `size` bytes of what the source gives: so many were promised."""
    for piece in source():
        data = piece.encode()[:size]
        size -= len(data)
        if data:
            await pipe.send(data)
    while size:
        data = b"\n" * min(size, 64)
        size -= len(data)
        await pipe.send(data)


async def _ask(url, method, way, more):
    """Open a connection and send the head of a request; return it."""
    scheme, host, port, name, user, password, path = cold("transfer.address").parse(url)
    lines = [method + " " + path + " HTTP/1.1", "Host: " + name, "Connection: close", "Accept-Encoding: identity"]
    lines.append("User-Agent: ocpp16")
    if user is not None:
        lines.append("Authorization: Basic " + str(b2a_base64(user + b":" + password)[:-1], "ascii"))
    lines += more
    text = "\r\n".join(lines)
    for line in more:
        if "\r" in line or "\n" in line:
            raise ValueError("line break in a header")
    pipe = await way.open(host, port, scheme == "https")
    try:
        await pipe.send((text + "\r\n\r\n").encode())
    except BaseException:
        pipe.close()
        raise
    return pipe


async def _head(pipe):
    """(status, reason, {lower-case name: value}) of the answer; what is interim is passed over."""
    while True:
        line = await _text(pipe)
        version, _, rest = line.partition(" ")
        status, _, reason = rest.partition(" ")
        if version[:7] != "HTTP/1." or len(status) != 3 or not status.isdigit():
            raise TransferError("answer is not HTTP")
        fields = {}
        for _ in range(_HEADERS):
            line = await _text(pipe)
            if not line:
                break
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        else:
            raise TransferError("more than %d header lines" % _HEADERS)
        if status[0] != "1":
            return int(status), reason[:40], fields


async def _text(pipe):
    return "".join([chr(byte) if 32 <= byte < 127 else "?" for byte in await pipe.line()])


async def _body(pipe, sink, length):
    """`length` bytes, or until the end (None)."""
    while length is None or length:
        view = await pipe.read(1024 if length is None else min(length, 1024))
        if not view:
            if length is None:
                return
            raise TransferError("%d bytes are missing" % length)
        if length is not None:
            length -= len(view)
        sink.write(view)


async def _chunk(pipe, sink):
    """One chunk of RFC 9112 section 7.1; False after the last."""
    size = _number((await _text(pipe)).partition(";")[0].strip(), 16)
    if size:
        await _body(pipe, sink, size)
        if await pipe.line():
            raise TransferError("malformed chunk")
        return True
    while await pipe.line():
        pass
    return False


def _number(text, base):
    try:
        value = int(text, base)
    except ValueError:
        value = -1
    if not 0 <= value <= _MAX or text[0] in "+-":
        raise TransferError("nonsense for a length")
    return value
