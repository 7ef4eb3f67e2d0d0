"""First thing after a reset: every output of this board to its safe level. Nothing else.

The levels are the board's own table: the module `board`, frozen or a file beside this one. A computer has no pins.
"""


def make_safe():
    """Never raises: a pin that cannot be set must not keep the others from it."""
    try:
        import board
        from machine import Pin
    except ImportError:
        return
    for number, level in getattr(board, "SAFE_PINS", ()):
        try:
            Pin(number, Pin.OUT, value=level)
        except ValueError:  # no such pin on this chip: the program will say so
            pass


make_safe()
