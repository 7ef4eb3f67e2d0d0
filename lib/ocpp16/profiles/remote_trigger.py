"""RemoteTrigger profile: messages the central system asks for leave right after the answer, ahead of the queue.

While the registration is Pending they are all that leaves; therefore they are direct calls, also the ones that are
queued otherwise. Source: OCPP 1.6 edition 2, section 5.17, with errata.
"""

from cold import cold
from micropython import const

from ..outbox import KIND_STATUS

_MOST = const(8)  # direct calls that wait for their answers; then Rejected
_ENERGY = ("Energy.Active.Import.Register",)


def on_TriggerMessage(cp, payload):
    return {"status": _begin(cp, payload["requestedMessage"], payload.get("connectorId"))}


def _begin(cp, message, connector_id):
    """TriggerMessageStatus. message -- a MessageTrigger; connector_id -- None: all that it can concern."""
    if len(cp.outbox.calls) >= _MOST:
        return "Rejected"
    wanted = []
    if message in ("StatusNotification", "MeterValues"):
        if connector_id is not None:
            wanted = [connector_id]
        else:
            wanted = list(range(message == "MeterValues", len(cp.connectors) + 1))
        if wanted[-1] > len(cp.connectors):
            return "Rejected"
        if message == "MeterValues" and (wanted[0] == 0 or cp.clock.utc() is None):  # there is no main meter
            return "Rejected"
    elif message in ("DiagnosticsStatusNotification", "FirmwareStatusNotification"):
        if "firmware" not in cp.profiles:
            return "NotImplemented"
    elif message == "BootNotification" and cp.registration == "Accepted":
        return "Rejected"  # errata: not before the next start
    cp.after_answer(lambda: cold("ocpp16.profiles.remote_trigger").send(cp, message, wanted))
    return "Accepted"


def send(cp, message, wanted):
    """Queue the messages. wanted -- connector ids, of those that have one."""
    now = cp.clock.uptime_ms()
    if message == "BootNotification":
        if not cp.boot_pending:
            cold("ocpp16.registration").boot(cp, now)
    elif message == "Heartbeat":
        cold("ocpp16.registration").beat(cp, now)
    elif message == "StatusNotification":
        statuses = cold("ocpp16.statuses")
        for n in wanted:
            status = cp.connectors[n - 1].announce() if n else statuses.of_zero(cp)
            if [call for call in cp.outbox.tail if call.kind == KIND_STATUS and call.tx == n]:
                statuses.tell(cp, n, status)  # not before an older one
            else:
                cp.outbox.direct(message, statuses.text_of(cp, n, status))
    elif message == "MeterValues":
        for n in wanted:
            _values(cp, cp.connectors[n - 1])
    else:
        cold("ocpp16.profiles.firmware").trigger(cp, message)


def _values(cp, connector):
    now = cp.clock.utc()
    metervalues = cold("ocpp16.metervalues")
    measurands = cp.config.get("MeterValuesSampledData") or _ENERGY
    values = metervalues.sampled_values(connector.evse, measurands, "Trigger")
    tx = connector.transaction
    if values:
        stamp = cold("ocpp16.timestamp").format_utc(now)
        number = None if tx is None or tx.id is None else str(tx.id)
        cp.outbox.direct("MeterValues", metervalues.payload(connector.id, stamp, values, number))
