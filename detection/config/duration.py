"""Times as one types them, and as one reads them."""

from __future__ import annotations

import re

from detection.errors import InputError

UNITS = {"h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0}


def seconds_of(text: str, key: str) -> float:
    """Seconds of a text such as 2h, 90m, 1h30m or 45s; `key` names the setting where it is none of these."""
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*(h|min|m|s)\s*", text)
    whole = re.fullmatch(r"(?:\d+(?:\.\d+)?\s*(?:h|min|m|s)\s*)+", text)
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if whole is None or seconds <= 0:
        raise InputError(f"{key}: {text!r} is not a time; write it as 2h, 90m, 1h30m or 45s")
    return seconds


def duration(seconds: float) -> str:
    """Such as `45 s`, `23 min` or `2 h 10 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
