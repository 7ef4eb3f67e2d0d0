"""Addresses of files. Pure, and a cold module (lib/cold.py). Source: RFC 3986; RFC 1738 section 3.2 for FTP."""

_PORTS = {"http": 80, "https": 443, "ftp": 21}


def parse(url):
    """(scheme, host, port, Host header, user, password, path with query) of a URL; ValueError, without the URL in it.

    user, password -- bytes, percent-decoded; user None: not given. The path begins with a slash and stays encoded.
    """
    scheme, mark, rest = url.partition("://")
    scheme = scheme.lower()
    if not mark or scheme not in _PORTS:
        raise ValueError("no address of a file")
    for char in rest:
        if not "!" <= char <= "~":
            raise ValueError("address has a character that must be encoded")
    rest = rest.partition("#")[0]
    cut = 0
    while cut < len(rest) and rest[cut] not in "/?":
        cut += 1
    place, path = rest[:cut], rest[cut:]
    login, mark, place = place.rpartition("@")
    user = password = None
    if mark:
        user, _, password = login.partition(":")
        user, password = decode(user), decode(password)
    name = place
    if place[:1] == "[":
        host, mark, port = place[1:].partition("]")
        valid = mark and ":" in host and port[:1] in ("", ":")
        port = port[1:]
    else:
        host, _, port = place.partition(":")
        valid = ":" not in port
    if not host or not valid:
        raise ValueError("address has no valid host")
    if port and not (port.isdigit() and len(port) < 6 and 0 < int(port) < 65536):
        raise ValueError("address has no valid port")
    return scheme, host, int(port or _PORTS[scheme]), name, user, password, path if path[:1] == "/" else "/" + path


def decode(text):
    """Percent-decoded bytes. ValueError."""
    parts = text.split("%")
    data = parts.pop(0).encode()
    for part in parts:
        if len(part) < 2:
            raise ValueError("address has half a percent sign")
        data += bytes([int(part[:2], 16)]) + part[2:].encode()
    return data


def join(location, name):
    """Address of the file `name` at the place that a central system named.

    Of FTP that is a folder. Of HTTP it is one when it ends with a slash, otherwise the address to send the file to.
    """
    if location[-1:] == "/":
        return location + name
    if location[:6].lower() == "ftp://":
        return location + "/" + name
    return location


def redirected(url, location):
    """Where an answer of `url` with this Location leads. ValueError: to another protocol, or from https to http.

    Credentials go only where no other server is named.
    """
    scheme, _, _, _, _, _, path = parse(url)
    if location[:2] == "//":
        location = scheme + ":" + location
    elif "://" not in location:
        place = url.partition("://")[2]
        for mark in "/?#":
            place = place.partition(mark)[0]
        if location[:1] != "/":
            location = path.partition("?")[0].rpartition("/")[0] + "/" + location
        location = scheme + "://" + place + location
    target = parse(location)[0]
    if target not in ("http", "https") or (scheme == "https" and target != "https"):
        raise ValueError("redirect from %s to %s" % (scheme, target))
    return location


def shown(url):
    """What may be logged of a URL: no credentials, no path."""
    scheme, _, rest = url.partition("://")
    return scheme[:10] + "://" + rest.partition("/")[0].rpartition("@")[2][:80]
