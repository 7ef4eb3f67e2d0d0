"""The lock of a plug: driven by what the connector needs, watched where it gives feedback.

A board without a lock never loads this.
"""

from micropython import const

from .outlet import Lasting

_MOVE_MS = const(1000)  # a bolt has moved by then


class Lock:
    """Lock of connector `number`; see hal/README.md for the output and the input "lock".

    failed -- it did not close, or came open; stays until the vehicle has left, and the lock is opened meanwhile
    """

    def __init__(self, hal, number, clock):
        self.failed = False
        self._hal = hal
        self._number = number
        self._shut = None  # what it was told last
        self._open_for = Lasting(clock, _MOVE_MS)

    def update(self, connector, plugged):
        """Drive the lock and watch it. Returns `failed`.

        It closes for a session, and already before one: when a tag was accepted and the vehicle is there.
        """
        if not plugged:
            self.failed = False
        shut = not self.failed and (connector.locked or (plugged and connector.id_tag is not None))
        if shut != self._shut:
            self._shut = shut
            self._hal.output("lock", self._number, shut)
        if self._open_for.update(shut and self._hal.input("lock", self._number) is False):
            self.failed = True
        return self.failed

    def is_closed(self):
        """Told to close, and nothing says that it did not."""
        return self._shut is True and self._hal.input("lock", self._number) is not False
