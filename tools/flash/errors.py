"""The one error of these tools."""


class FlashError(Exception):
    """Something is not as it must be. The text says what, and then in a line of its own what to do next."""

    def __init__(self, what: str, next_step: str) -> None:
        super().__init__(f"{what}\nNext: {next_step}")
