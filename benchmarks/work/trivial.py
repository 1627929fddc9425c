"""The function that the pools of the benchmarks call: as little as possible."""


def square(value: int) -> int:
    """Return value * value."""
    return value * value
