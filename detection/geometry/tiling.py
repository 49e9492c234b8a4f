"""Where the tiles of a large image lie."""

from __future__ import annotations

Place = tuple[int, int, int, int]
"""x1 y1 x2 y2 in whole pixels of the image."""


def tile_places(size: tuple[int, int], tile: int, overlap: float) -> list[Place]:
    """Tiles of `tile` pixels a side that cover an image of `size` (height, width), of which neighbours share at least
    `overlap` of their side; smaller where the image is."""
    height, width = size
    return [
        (x, y, min(x + tile, width), min(y + tile, height))
        for y in _starts(height, tile, overlap)
        for x in _starts(width, tile, overlap)
    ]


def views(size: tuple[int, int], tile: int, overlap: float) -> list[Place]:
    """What is looked at of an image: its tiles, and last the whole of it where there is more than one."""
    places = tile_places(size, tile, overlap)
    return [*places, (0, 0, size[1], size[0])] if len(places) > 1 else places


def _starts(side: int, tile: int, overlap: float) -> list[int]:
    if side <= tile:
        return [0]
    steps = -(-(side - tile) // max(int(tile * (1 - overlap)), 1))
    return [round(k * (side - tile) / steps) for k in range(steps + 1)]
