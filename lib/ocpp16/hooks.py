"""What an application may add to the course of a session."""


class Hooks:
    """Every method returns quickly. Any object with these methods will do; `resumed` may be missing.

    An application that can start the whole program again has reset(hard) too: called when the answer to Reset has left;
    it ends the transactions with HardReset or SoftReset, and gives their messages some seconds. Without it: Rejected.
    The profile "firmware" needs files(), see "Firmware and diagnostics" in README.md.
    """

    def plugged_in(self, connector):
        """A vehicle came; its Preparing is queued."""

    def unplugged(self, connector):
        """The vehicle left."""

    def resumed(self, connector):
        """After a power cut: the vehicle of a restored session counts as there, and reported, until it is known."""

    def may_start(self, connector):
        """Plugged in and accepted: may the transaction start now? Asked until True."""
        return True

    def before_start(self, connector):
        """StartTransaction is queued right after this returns."""

    def checkpoint(self, connector, tx):
        """Return a small JSON-able value to keep as `tx.extra`, or None; it survives a power cut."""

    def session_ended(self, connector, tx):
        """Power is off; Finishing and StopTransaction are queued right after this returns.

        Called once more when it raises: queue last.
        """
