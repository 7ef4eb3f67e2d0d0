"""Checks what a factory file presets of a board. A cold module: needed once, by the describe() of boards."""

_BMS_BAUD = 9600  # JBD and Daly alike


def booleans(preset, **defaults):
    """Return the defaults with what `preset` (a dict) changes; "bms" is left to bms_bus().

    ValueError: an unknown key, or no bool; says which.
    """
    found = dict(defaults)
    for key, value in preset.items():
        if key == "bms":
            continue
        if key not in defaults:
            raise ValueError("unknown key %s" % key)
        if not isinstance(value, bool):
            raise ValueError("%s must be true or false" % key)
        found[key] = value
    return found


def inputs(fitted):
    """Names of the inputs that are fitted, for describe(); fitted -- what booleans() returned. The stop always is."""
    found = ["estop"]
    for name, key in (("door", "door"), ("plug", "plug_switch"), ("contactor", "contactor_feedback")):
        if fitted[key]:
            found.append(name)
    if fitted.get("lock_feedback"):
        found.append("lock")
    return tuple(found)


def bms_bus(preset, can, uart):
    """Spec of the vehicle's bus. preset["bms"] -- "rivot_can" (default), "jbd_uart" or "daly_uart", else ValueError.

    can -- spec of the CAN controller; uart -- number of the UART; its pins are uart_rx and uart_tx
    """
    kind = preset.get("bms", "rivot_can")
    if kind == "rivot_can":
        return can
    if kind not in ("jbd_uart", "daly_uart"):
        raise ValueError("bms must be one of: rivot_can, jbd_uart, daly_uart")
    return kind, ("uart", uart, _BMS_BAUD, "uart_rx", "uart_tx")
