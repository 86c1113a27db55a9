"""Reading a report's plain values, with errors that name the place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tastemaker.errors import InputError
from tastemaker.reports.figures import Row


def mapping(value: Any, where: str) -> Mapping[str, Any]:
    """`value` if it is an object with text keys."""
    if not isinstance(value, Mapping):
        raise InputError(f"report: {where} must be an object, not {type(value).__name__}")
    return value


def sequence(value: Any, where: str) -> Sequence[Any]:
    """`value` if it is a list."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise InputError(f"report: {where} must be a list, not {type(value).__name__}")
    return value


def need(container: Any, key: str, where: str) -> Any:
    """`container[key]`; InputError when it is missing."""
    result = mapping(container, where)
    if key not in result:
        raise InputError(f"report: {where} has no '{key}'; it has {', '.join(map(str, result)) or 'nothing'}")
    return result[key]


def number(value: Any, where: str) -> float:
    """`value` as a finite float."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"report: {where} must be a finite number, not {value!r}")
    return float(value)


def numbers(value: Any, where: str) -> list[float]:
    """A list of finite floats."""
    return [number(item, f"{where}[{place}]") for place, item in enumerate(sequence(value, where))]


def row(name: str, interval: Any, where: str, *, highlight: bool = False) -> Row:
    """An interval `{value, low, high}` as a figure's row."""
    value, low, high = (
        number(need(interval, key, where), f"{where}.{key}") for key in ("value", "low", "high")
    )
    return Row(name, value, low, high, highlight)
