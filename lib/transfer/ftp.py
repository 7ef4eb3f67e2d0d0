"""Files over FTP, passive. A cold module (lib/cold.py). Source: RFC 959; RFC 2428 (EPSV); RFC 1738 section 3.2.2."""

from cold import cold
from micropython import const

_LINES = const(50)  # of one reply


async def run(url, what, way):
    """See way.Way.download and upload: of these two, `what` is a sink or a source."""
    control, host, name = await _enter(url, way)
    data = None
    try:
        if callable(what):
            data = await _passive(control, host, way)
            await _want(control, b"STOR " + name, (125, 150))
            for piece in what():
                await data.send(piece.encode())
            data.close()
            await _reply(control, (226, 250))
        else:
            size = None
            code, text = await _tell(control, b"SIZE " + name)
            if code == 213 and text.strip().isdigit():
                size = int(text)
            data = await _passive(control, host, way)
            await _want(control, b"RETR " + name, (125, 150))
            what.begin(0, size, "")  # nothing tells whether it is the same file as before
            while True:
                view = await data.read()
                if not view:
                    break
                what.write(view)
            data.close()
            await _reply(control, (226, 250))
            if size is not None and what.offset != size:
                raise OSError("%d bytes are missing" % (size - what.offset))
        try:
            await _tell(control, b"QUIT")
        except OSError:
            pass  # the file is there
    finally:
        control.close()
        if data is not None:
            data.close()


async def _enter(url, way):
    """Log in and go to the folder: (control connection, host, name of the file)."""
    address = cold("transfer.address")
    _, host, port, _, user, password, path = address.parse(url)
    parts = [address.decode(part) for part in path[1:].partition(";type=")[0].split("/")]
    if not parts[-1]:
        raise ValueError("address names no file")
    control = await way.open(host, port)
    try:
        await _reply(control, (220,))
        code, _ = await _tell(control, b"USER " + (user or b"anonymous"))
        if code == 331:
            await _want(control, b"PASS " + (password or b"anonymous@"), (230, 202))
        elif code != 230:
            raise OSError("FTP %d for the user" % code)
        await _want(control, b"TYPE I", (200,))
        for part in parts[:-1]:
            if part:
                await _want(control, b"CWD " + part, (250, 200))
    except BaseException:
        control.close()
        raise
    return control, host, parts[-1]


async def _passive(control, host, way):
    """Open the data connection; to the host that was dialled, whatever address a PASV reply names."""
    code, text = await _tell(control, b"EPSV")
    if code == 229:
        port = text.rpartition("(")[2].partition(")")[0].strip("|")
    else:
        _, text = await _want(control, b"PASV", (227,))
        numbers = text.rpartition("(")[2].partition(")")[0].split(",")
        port = ""
        if len(numbers) == 6 and numbers[4].isdigit() and numbers[5].isdigit():
            port = str(int(numbers[4]) * 256 + int(numbers[5]))
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise OSError("no port for the data")
    return await way.open(host, int(port), is_second=True)


async def _want(control, command, codes):
    """As _tell; OSError, which names no argument, unless the reply has one of these codes."""
    await _say(control, command)
    return await _reply(control, codes)


async def _tell(control, command):
    """(code, text) of the reply to a command."""
    await _say(control, command)
    return await _reply(control, None)


async def _say(control, command):
    for byte in (0, 10, 13):
        if byte in command:
            raise ValueError("line break in the address")
    await control.send(command + b"\r\n")


async def _reply(control, codes):
    first = str(await control.line(), "utf-8")
    if len(first) < 3 or not first[:3].isdigit():
        raise OSError("answer is not FTP")
    code = first[:3]
    if first[3:4] == "-":
        for _ in range(_LINES):
            line = await control.line()
            if line[:3] == code.encode() and line[3:4] != b"-":
                break
        else:
            raise OSError("reply without end")
    if codes is not None and int(code) not in codes:
        raise OSError("FTP %s %s" % (code, first[4:44]))
    return int(code), first[4:]
