"""A request and the head of its answer, over HTTP/1.1 and HTTPS. A cold module (lib/cold.py).

Source: RFC 9110, RFC 9112.
"""

from binascii import b2a_base64

from cold import cold
from micropython import const

_REDIRECTS = const(3)
_HEADERS = const(64)  # lines
_MAX = const(1 << 28)  # bytes of a file: more is nonsense


async def ask(url, method, way, more=(), body=None):
    """Send a request, and again where redirects lead: (pipe, status, reason, {lower-case name: value} of the answer).

    more -- further header lines; body -- async callable(pipe) that sends it. Who called closes the pipe. OSError.
    """
    for _ in range(_REDIRECTS + 1):
        pipe = await _open(url, method, way, more)
        try:
            if body is not None:
                try:
                    await body(pipe)
                except OSError as exc:  # the server may have said why before it hung up
                    try:
                        status, reason, fields = await _head(pipe)
                    except OSError:
                        raise exc
                else:
                    status, reason, fields = await _head(pipe)
            else:
                status, reason, fields = await _head(pipe)
            if status not in ((301, 302, 307, 308) if body else (301, 302, 303, 307, 308)):
                result = pipe, status, reason, fields
                pipe = None
                return result
            url = cold("transfer.address").redirected(url, fields.get("location", ""))
        finally:
            if pipe is not None:
                pipe.close()
    raise OSError("more than %d redirects" % _REDIRECTS)


async def _open(url, method, way, more):
    scheme, host, port, name, user, password, path = cold("transfer.address").parse(url)
    lines = [method + " " + path + " HTTP/1.1", "Host: " + name, "Connection: close", "Accept-Encoding: identity"]
    lines.append("User-Agent: ocpp16")
    if user is not None:
        lines.append("Authorization: Basic " + str(b2a_base64(user + b":" + password)[:-1], "ascii"))
    for line in more:
        if "\r" in line or "\n" in line:
            raise ValueError("line break in a header")
        lines.append(line)
    lines.append("\r\n")
    pipe = await way.open(host, port, scheme == "https")
    try:
        await pipe.send("\r\n".join(lines).encode())
    except BaseException:
        pipe.close()
        raise
    return pipe


async def _head(pipe):
    """(status, reason, fields) of the answer; what is interim is passed over."""
    while True:
        version, _, rest = (await _text(pipe)).partition(" ")
        status, _, reason = rest.partition(" ")
        if version[:7] != "HTTP/1." or len(status) != 3 or not status.isdigit():
            raise OSError("answer is not HTTP")
        fields = {}
        for _ in range(_HEADERS):
            line = await _text(pipe)
            if not line:
                break
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        else:
            raise OSError("more than %d header lines" % _HEADERS)
        if status[0] != "1":
            return int(status), reason[:40], fields


async def _text(pipe):
    data = bytearray(await pipe.line())
    for i, byte in enumerate(data):
        if not 32 <= byte < 127:
            data[i] = 63  # a question mark
    return str(data, "ascii")


def number(text, base=10):
    """A length. OSError: it is none."""
    try:
        value = int(text, base)
    except ValueError:
        value = -1
    if not 0 <= value <= _MAX or text[0] in "+-":
        raise OSError("nonsense for a length")
    return value
