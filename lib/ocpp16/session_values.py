"""The samples of a charging session. A cold module (see lib/cold.py).

Sources: OCPP 1.6 edition 2, sections 3.16, 4.7 and 7.28.
"""

from cold import cold

from .outbox import KIND_TX

_ENERGY = ("Energy.Active.Import.Register",)  # where no measurand is configured


def sample(connector, tx, now):
    """Queue the sample that is due. Late, it keeps the time it was due; what was missed is skipped, not made up.

    Sampling times are absolute: start + n * interval, never "after the last one".
    """
    late = (now - connector.sample_at) // connector.interval_ms * connector.interval_ms
    due = connector.sample_at + late
    sampled = values(connector, "Sample.Periodic")
    note(connector, tx, due, "Sample.Periodic")
    flush_begin(connector, tx)
    queue(connector, tx, due, sampled, False)
    connector.sample_at = due + connector.interval_ms


def sample_aligned(connector, tx, stamp):
    """Queue a sample of the clock grid, with the time of the grid."""
    measurands = connector.cp.config.get("MeterValuesAlignedData") or _ENERGY
    metervalues = cold("ocpp16.metervalues")
    values = metervalues.sampled_values(connector.evse, measurands, "Sample.Clock")
    if connector.cp.config.get("StopTxnAlignedData"):
        cold("ocpp16.stop_data").note(connector, tx, (None, stamp), "Sample.Clock")
    flush_begin(connector, tx)
    if values:
        text = metervalues.payload(connector.id, stamp, values)
        connector.cp.outbox.add("MeterValues", text, KIND_TX, tx.key, False, False)


def flush_begin(connector, tx):
    """Queue the sample of the start, once: right after the first status of the session."""
    if connector.values is not None:
        queue(connector, tx, tx.start_uptime, connector.values, True)
        connector.values = None


def values(connector, context):
    """The sampledValue texts of now, as MeterValuesSampledData has them."""
    measurands = connector.cp.config.get("MeterValuesSampledData") or _ENERGY
    return cold("ocpp16.metervalues").sampled_values(connector.evse, measurands, context)


def note(connector, tx, uptime, context):
    """Keep the sample for StopTransaction, where it is to carry samples."""
    try:
        if connector.cp.config.get("StopTxnSampledData"):
            stamp = cold("ocpp16.timestamp").stamp
            stamps = stamp(tx, tx.start_uptime), stamp(tx, uptime)
            cold("ocpp16.stop_data").note(connector, tx, stamps, context)
    except Exception as exc:  # noqa: BLE001 - the session goes on without
        connector.cp.log.error("ocpp", exc)


def queue(connector, tx, uptime, sampled, keep):
    """Queue MeterValues with that sample of that time; keep: it is not thinned out when space runs short."""
    if sampled:
        stamp = cold("ocpp16.timestamp").stamp(tx, uptime)
        text = cold("ocpp16.metervalues").payload(connector.id, stamp, sampled)
        connector.cp.outbox.add("MeterValues", text, KIND_TX, tx.key, False, keep)
