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


def count(size: tuple[int, int], tile: int, overlap: float) -> int:
    """How many `tile_places` there are."""
    return _steps(size[0], tile, overlap) * _steps(size[1], tile, overlap)


def _steps(side: int, tile: int, overlap: float) -> int:
    """Tiles along a side."""
    return 1 if side <= tile else 1 + -(-(side - tile) // max(int(tile * (1 - overlap)), 1))


def _starts(side: int, tile: int, overlap: float) -> list[int]:
    last = _steps(side, tile, overlap) - 1
    return [round(k * (side - tile) / last) for k in range(last + 1)] if last else [0]
