"""Checks for the fields of control commands: each returns the value to use or raises ValueError with the reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], Any]


def boolean(value: Any) -> bool:
    """true or false."""
    if type(value) is not bool:
        raise ValueError("must be true or false")
    return value


def number(low: float, high: float) -> Check:
    """A number from `low` to `high`."""

    def check(value: Any) -> float:
        if type(value) not in (int, float) or not low <= value <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        return float(value)

    return check


def integer(low: int, high: int) -> Check:
    """A whole number from `low` to `high`."""

    def check(value: Any) -> int:
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return check


def text(longest: int) -> Check:
    """A text of 1 to `longest` characters."""

    def check(value: Any) -> str:
        if type(value) is not str or not 1 <= len(value) <= longest:
            raise ValueError(f"must be a text of 1 to {longest} characters")
        return value

    return check


def choice(*values: Any) -> Check:
    """One of `values`."""

    def check(value: Any) -> Any:
        for one in values:
            if type(value) is type(one) and value == one:
                return one
        raise ValueError("must be one of " + ", ".join(str(one) for one in values))

    return check


def nullable(check: Check) -> Check:
    """null, or what `check` takes."""
    return lambda value: None if value is None else check(value)


def texts(value: Any) -> list[str]:
    """A list of texts."""
    if type(value) is not list or not all(type(one) is str for one in value):
        raise ValueError("must be a list of texts")
    return value


def check_fields(given: Mapping[str, Any], known: Mapping[str, Check], required: frozenset[str]) -> dict[str, Any]:
    """Return the checked fields. Raises ValueError that names the first wrong, unknown or missing one."""
    for name in required:
        if name not in given:
            raise ValueError(f"{name}: is missing")
    checked = {}
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"{name}: is not a field of this command")
        try:
            checked[name] = known[name](value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return checked
