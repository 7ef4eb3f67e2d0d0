"""First thing after a reset: every output of this board to its safe level. Nothing else."""


def make_safe():
    """Levels from the board's own table; on a computer there are no pins, and so there is nothing to do."""
    try:
        import board
        from machine import Pin
    except ImportError:
        return
    for number, level in getattr(board, "SAFE_PINS", ()):
        Pin(number, Pin.OUT, value=level)


make_safe()
