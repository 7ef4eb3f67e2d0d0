"""Makes the BMS of a board that has one on a UART. A cold module: see build.py."""

from micropython import const

_OLDEST_MS = const(3000)  # what such a BMS said counts for no longer, whatever the settings say


def bms(app, number, spec, get):
    """The BMS, which is its own bus.

    spec -- ("jbd_uart" or "daly_uart", stream spec), else ValueError; get -- Settings.get
    """
    if spec[0] == "jbd_uart":
        from drivers.bms.jbd_uart import Jbd as protocol
    elif spec[0] == "daly_uart":
        from drivers.bms.daly_uart import Daly as protocol
    else:
        raise ValueError("no driver for a %s BMS" % spec[0])
    limits = get("vehicle.max_mv"), get("vehicle.max_ma")
    if 0 in limits:
        app.log.warn("bms%d" % number, "no charging: vehicle.max_mv and vehicle.max_ma must be set")
    from drivers.bms.uart import UartBms

    return UartBms(
        protocol(),
        app.opener(spec[1]),
        app.clock,
        limits[0],
        limits[1],
        get("power.window_low_mv"),
        get("power.window_high_mv"),
        min(get("vehicle.bms_timeout_ms"), _OLDEST_MS),
    )
