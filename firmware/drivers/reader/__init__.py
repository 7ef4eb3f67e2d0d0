"""What every id-tag reader shares. The face is in drivers/README.md."""


class ReaderError(Exception):
    """Raised when the reader itself does not answer; Watch sets it up again."""
