"""Where a line is in a shard's journal."""

START = "0-0"  # before a stream's first line


def place(position: str) -> tuple[int, int]:
    """A position as it is compared: milliseconds of the store's clock, and a number."""
    at_ms, _, number = position.partition("-")
    return int(at_ms), int(number)
