"""What a user of wsclient has to catch."""

import errno


class WsError(Exception):
    """Base of both. reason -- one line for a log."""

    def __init__(self, code, reason):
        super().__init__(code, reason)
        self.code = self.status = code
        self.reason = reason


class HandshakeError(WsError):
    """The connection did not come to life.

    status -- HTTP status of the answer (int), 0 when there was none (no route, TLS refused, timeout, bad answer)
    """


class WsClosed(WsError):
    """The connection has ended.

    code -- the first cause: the code of the peer's close frame (1005: it had none), the code we closed with, or
            1006 when the link broke without a close frame (RFC 6455 section 7.4.1)
    """


def in_words(exc):
    """One line for an exception: of mbedTLS its words, of the system the name of the error."""
    if len(exc.args) == 1 and exc.args[0] in errno.errorcode:
        return errno.errorcode[exc.args[0]]
    return "; ".join((str(exc) or repr(exc)).strip().split("\n"))
