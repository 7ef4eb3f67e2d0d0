"""Texts of the two vendor messages. A cold module: each is made once per session, see vendor.VendorMessages.

`data` is JSON in a string; its numbers are made from integers, because floats print badly.
"""

from fixed import fixed


def vehicle_info(soc, max_ma, mv, ma, temperature_dc):
    """Text of VehicleInfo, one decimal each; what is None is left out.

    soc -- 0.01 %; max_ma, ma -- mA; mv -- mV; temperature_dc -- 0.1 degC
    >>> vehicle_info(8700, 90_000, 76_400, 0, 265)
    '{"soc":87.0,"maxCurrent":90.0,"voltage":76.4,"current":0.0,"temperature":26.5}'
    """
    return _members(
        ("soc", soc, 2), ("maxCurrent", max_ma, 3), ("voltage", mv, 3), ("current", ma, 3),
        ("temperature", temperature_dc, 1), decimals=1,
    )  # fmt: skip


def session_summary(soc, mwh, duration_ms):
    """Text of SessionSummary, two decimals each; an unknown SoC (None) is left out.

    The energy is cut, not rounded, so that its whole Wh are those of StopTransaction.

    >>> session_summary(8718, 3390, 90_000)
    '{"finalSoc":87.18,"energyDelivered":3.39,"durationMinutes":1.50}'
    """
    hundredths = (max(0, duration_ms) + 300) // 600
    return _members(
        ("finalSoc", soc, 2), ("energyDelivered", mwh // 10, 2), ("durationMinutes", hundredths, 2), decimals=2
    )  # fmt: skip


def summary_of(tx):
    """SessionSummary of a transaction from its last checkpoint."""
    duration_ms = tx.stop_uptime - tx.start_uptime
    try:
        mwh, soc = tx.extra
        return session_summary(soc, mwh, duration_ms)
    except (TypeError, ValueError):  # cut before the first checkpoint, or a damaged record
        return session_summary(None, 0, duration_ms)


def _members(*rows, decimals):
    return "{%s}" % ",".join(
        ['"%s":%s' % (name, fixed(value, scale, decimals)) for name, value, scale in rows if value is not None]
    )


def transfer_policy(config):
    """(attempts, pause ms, timeout ms) of the vendor messages, from the OCPP configuration."""
    return (
        config.get("RivotDataTransferAttempts"),
        config.get("RivotDataTransferRetryInterval") * 1000,
        config.get("RivotDataTransferTimeout") * 1000,
    )
