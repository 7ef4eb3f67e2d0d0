"""The address of a charge point at its central system. Pure. Source: OCPP-J 1.6, section 3.1."""

_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"  # RFC 3986 section 2.3


def endpoint(url, identity):
    """Return the websocket URL to open: configured address, a slash, the identity percent-encoded.

    url      -- ws:// or wss:// address with any path; slashes at its end are dropped, so that the path holds none twice
    identity -- name of the charge point, not empty; every byte of its UTF-8 outside RFC 3986 "unreserved" is encoded
    >>> endpoint("wss://csms.example/ocpp/", "RDAM 123")
    'wss://csms.example/ocpp/RDAM%20123'
    Raises ValueError, with a text for the person who typed it: other scheme, no host, credentials (they belong into
    their own setting, this text is logged), a query or fragment (the identity would end up in it), blanks or control
    characters, an empty identity.
    """
    scheme, mark, rest = url.partition("://")
    if not mark or scheme.lower() not in ("ws", "wss"):
        raise ValueError("URL must start with ws:// or wss://")
    for char in url:
        if char <= " " or char in "?#\x7f":
            raise ValueError("URL must not hold blanks, ? or #")
    rest = rest.rstrip("/")
    host = rest.split("/", 1)[0]
    if not host or host[0] == ":":
        raise ValueError("URL has no host")
    if "@" in host:
        raise ValueError("URL must not hold credentials")
    return scheme.lower() + "://" + rest + "/" + encode(identity)


def with_tls(url, port=0):
    """The same address by wss://; port -- another port than the one in the URL, 0: that one, else the usual.

    >>> with_tls("ws://csms.example:80/ocpp", 8443)
    'wss://csms.example:8443/ocpp'
    """
    scheme, _, rest = url.partition("://")
    if scheme == "wss":
        return url
    host, slash, path = rest.partition("/")
    if port:
        end = host.rfind(":")
        if end > host.rfind("]"):  # not one inside an IPv6 address
            host = host[:end]
        host += ":%d" % port
    return "wss://" + host + slash + path


def encode(identity):
    """Percent-encode one path segment. Raises ValueError when it is empty or means "this" or "the upper folder"."""
    if identity in ("", ".", ".."):
        raise ValueError("identity must be a name")
    return "".join([chr(byte) if byte in _UNRESERVED else "%%%02X" % byte for byte in identity.encode()])
