"""What firmware management needs of this charger (`hooks.files`, see lib/ocpp16/README.md). A cold module."""

from cold import cold


class Files:
    """Made when needed, thrown away afterwards. app -- charger.app.App"""

    def __init__(self, app):
        self._app = app

    def way(self):
        """Servers are checked as the central system is. What blocks the program is not done while power may flow."""
        app, access = self._app, self._app.cp.access

        def quiet():
            return not any([outlet.gate.may_flow() or outlet.connector.transaction for outlet in app.outlets])

        return cold("transfer.way").Way(
            lambda: cold("ocpp16.access").roots(access),
            access.values[6],
            quiet,
            "POST" in app.cp.config.get("RivotUploadMethod"),
        )

    def installer(self):
        return cold("charger.installer").Installer(self._app.hal.data_dir + "/update.part")

    def diagnostics(self, start, stop):
        return cold("charger.diagnostics").collect(self._app, start, stop)
