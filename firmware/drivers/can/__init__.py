"""What every CAN controller driver shares: frame flags and the one error. The face is in drivers/README.md."""

from micropython import const

FLAG_EXT = const(1)  # 29-bit identifier
FLAG_RTR = const(2)  # remote frame: carries no data
# Only for send(), never on the wire: this frame brings the hardware to its safe state. It passes the frames that still
# wait (they are dropped) and is tried even while the bus reports errors.
FLAG_URGENT = const(4)


class CanError(Exception):
    """Raised by run() when the bus or the adapter is lost; the supervisor starts run() again."""
