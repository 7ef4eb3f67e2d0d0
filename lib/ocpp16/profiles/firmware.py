"""FirmwareManagement: firmware comes, diagnostics go. What the application brings: `hooks.files`, see README.md.

Source: OCPP 1.6 edition 2, sections 4.4, 4.5, 5.9 and 5.19, with errata.
"""

from cold import cold
from micropython import const

from ..errors import OcppError

NAME = "FirmwareManagement"

_RETRIES = const(3)  # where the central system leaves it to us
_INTERVAL_S = const(60)


def on_UpdateFirmware(cp, payload):
    updates = cold("ocpp16.updates")
    if updates.phase(cp) == "Installing":
        raise OcppError("GenericError", "an update is being installed")
    due = cold("ocpp16.timeparse").parse(payload["retrieveDate"], any_year=True)
    retries, interval_s = payload.get("retries", _RETRIES), payload.get("retryInterval", _INTERVAL_S)
    updates.request(cp, payload["location"], due, retries, interval_s)
    cp.after_answer(lambda: cold("ocpp16.updates").begin(cp))
    return {}


def on_GetDiagnostics(cp, payload):
    parse = cold("ocpp16.timeparse").parse
    span = [parse(payload[key], any_year=True) if key in payload else None for key in ("startTime", "stopTime")]
    found = cp.hooks.files().diagnostics(*span)
    if found is None:
        return {}
    name, source = found
    retries = min(payload.get("retries", _RETRIES), 100)
    interval_s = min(payload.get("retryInterval", _INTERVAL_S), 86_400)

    def begin():
        uploads = cold("ocpp16.uploads")
        cold("ocpp16.jobs").start(
            cp, uploads.NAME, lambda: uploads.run(cp, payload["location"], name, source, retries, interval_s)
        )

    cp.after_answer(begin)
    return {"fileName": name}


def trigger(cp, message):
    """Send DiagnosticsStatusNotification or FirmwareStatusNotification with what is going on, or Idle."""
    if message == "FirmwareStatusNotification":
        status = cold("ocpp16.updates").phase(cp)
    else:
        status = "Uploading" if cold("ocpp16.uploads").NAME in cp.jobs else "Idle"
    cp.outbox.direct(message, '{"status":"%s"}' % status)
