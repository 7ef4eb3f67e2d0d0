"""What firmware management needs of this charger (`hooks.files`, see lib/ocpp16/README.md). A cold module."""

import gc

from cold import cold
from micropython import const

_NEEDED = const(16_000)  # bytes of heap, to tell all


def is_quiet(app):
    """Does no session run, and no power flow?"""
    return not any([outlet.gate.may_flow() or outlet.connector.transaction for outlet in app.outlets])


def may_tell(app):
    """Is there memory for the snapshot of diagnostics, without harm to a session?"""
    gc.collect()
    return gc.mem_free() >= _NEEDED or is_quiet(app)


class Files:
    """Made when needed, thrown away afterwards. app -- charger.app.App"""

    def __init__(self, app):
        self._app = app

    def way(self):
        """Servers are checked as the central system is. What blocks the program is not done while power may flow."""
        app, access = self._app, self._app.cp.access
        return cold("transfer.way").Way(
            lambda: cold("ocpp16.access").roots(access),
            access.values[6],
            lambda: is_quiet(app),
            lambda: "POST" in app.cp.config.get("RivotUploadMethod"),
        )

    def installer(self):
        return cold("charger.installer").Installer(self._app)

    def diagnostics(self, start, stop):
        """(file name, source), see lib/ocpp16/README.md; None: not in this session, which needs the memory."""
        app = self._app
        if not may_tell(app):
            app.log.warn("diagnostics", "not in a session: too little memory")
            return None
        now = app.clock.utc()
        name = "".join([c if c.isdigit() or c.isalpha() or c in "-_." else "_" for c in app.cp.access.values[1]])
        if now is not None:
            name += "_" + cold("ocpp16.timestamp").format_utc(now).replace(":", "").replace("-", "")
        aside = []
        return name + ".txt", lambda: cold("charger.diagnostics").pieces(app, start, stop, aside)
