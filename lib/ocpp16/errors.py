"""What a handler of a request may raise, and what it starts."""


class OcppError(Exception):
    """Raised when a request cannot be served; becomes a CALLERROR.

    code -- an error code of OCPP-J 1.6, section 4.2.3, in the 1.6 spelling;
    description -- text for a person, names the field;  details -- dict or None.
    """

    def __init__(self, code, description="", details=None):
        super().__init__("%s: %s" % (code, description))
        self.code = code
        self.description = description
        self.details = details


class HangUp(Exception):
    """Raised by an action of `cp.after_answer`: the answer is sent, this connection ends, the next one follows."""
