"""Text from files on its way to a terminal."""

from __future__ import annotations

import re

UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Letters that move the cursor, colour or reverse what follows, break a line, or that no terminal can be sent."""


def printable(text: str) -> str:
    """`text` as one line that does nothing to a terminal: line ends become spaces, control characters, halves of
    surrogate pairs and marks that reverse the direction of writing their escapes."""
    return UNPRINTABLE.sub(
        lambda found: " " if found[0] in "\n\r\t" else found[0].encode("unicode_escape").decode(), text
    )
