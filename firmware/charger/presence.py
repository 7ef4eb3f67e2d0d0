"""What the network may know about the charger. Loaded only where the HAL has services of its own."""


class Presence:
    """app -- App"""

    def __init__(self, app):
        self._app = app

    def is_idle(self):
        """Nothing would be disturbed by a restart: no transaction, no power."""
        for outlet in self._app.outlets:
            if outlet.connector.transaction is not None or outlet.gate.may_flow():
                return False
        return True

    def is_online(self):
        """The central system is connected."""
        return self._app.cp.connected
