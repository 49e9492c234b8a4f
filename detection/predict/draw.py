"""Boxes on pictures, and pictures beside one another.

Pictures are (H, W, 3) uint8 RGB arrays, boxes x1 y1 x2 y2 in their pixels.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Rectangle = tuple[float, float, float, float]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER: Colour = (250, 250, 250)
INK: Colour = (20, 20, 20)
LABEL_SHARE = 0.12
"""of the picture, that all labels together may cover before their letters shrink"""
LABEL_COVERED = 0.25
"""of a label, that other labels may cover before it is left out"""
GAP = 12
"""pixels between the pictures of a sheet"""


def class_colour(label: int) -> Colour:
    """The colour of a class: the same in every picture, and far in hue from that of its neighbours."""
    hue = (0.58 + label * 0.61803398875) % 1.0  # steps of the golden ratio never come near an earlier hue for long
    saturation, value = ((0.80, 0.95), (0.55, 1.0), (0.90, 0.70))[label // 12 % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    scores: np.ndarray | None = None,
    numbers: Sequence[int] = (),
) -> np.ndarray:
    """A copy of `image` with its boxes, each with its class and, where given, its score.

    image: (H, W, 3) uint8; boxes: (N, 4); labels: (N,); scores: (N,) in 0..1; numbers: N of the objects, or none. Boxes
    are clipped to the picture, and left out where nothing of them is inside; lines and letters follow the size of the
    picture. The first box comes on top and has the first choice of a place for its label; where others leave a label no
    room it is left out, and the colour of its box must do. A label outside `class_names` is shown by its number.
    """
    _check_picture(image, "draw")
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    if not len(boxes) == len(labels) == (len(boxes) if scores is None else len(scores)):
        raise ValueError(f"draw: {len(boxes)} boxes need as many labels and scores")
    height, width = image.shape[:2]
    picture = Image.fromarray(image)  # copies
    canvas = ImageDraw.Draw(picture)
    line = max(1, round(math.sqrt(height * width) / 250))
    seen = [k for k in range(len(boxes)) if _visible(boxes[k], height, width)]
    for k in reversed(seen):
        _outline(canvas, _clip(boxes[k], height, width), class_colour(int(labels[k])), line)
    texts = {k: _text(class_names, int(labels[k]), None if scores is None else float(scores[k])) for k in seen}
    if len(numbers):
        texts = {k: f"#{numbers[k]} {text}" for k, text in texts.items()}
    font = _font_for((height, width), list(texts.values()))
    places: dict[int, Rectangle] = {}
    for k, text in texts.items():
        place = _place_label(
            _clip(boxes[k], height, width), _label_size(text, font), (height, width), list(places.values())
        )
        if place:
            places[k] = place
    for k, place in reversed(places.items()):
        _write_label(canvas, place, texts[k], font, class_colour(int(labels[k])))
    return np.array(picture)


def contact_sheet(rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str] = (), width: int = 480) -> np.ndarray:
    """Pictures in rows, say ground truth and detections of one image a row, with a title above each column.

    Each picture is scaled to `width` pixels; rows are as high as their highest picture, and may differ in length.
    """
    if not rows or not all(len(row) for row in rows):
        raise ValueError("contact_sheet: give at least one row, and at least one picture a row")
    return _sheet([[_scale_to(picture, width) for picture in row] for row in rows], titles)


def _check_picture(image: np.ndarray, owner: str) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"{owner}: the image must be (H, W, 3) uint8, got {image.shape} {image.dtype}")


def _visible(box: np.ndarray, height: int, width: int) -> bool:
    x1, y1, x2, y2 = box
    return bool(np.isfinite(box).all()) and x2 >= x1 and y2 >= y1 and x2 > 0 and y2 > 0 and x1 < width and y1 < height


def _clip(box: np.ndarray, height: int, width: int) -> Rectangle:
    """Continuous edges -> the first and last pixel that are inside."""
    x1, y1 = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
    x2, y2 = min(width, math.ceil(box[2])) - 1, min(height, math.ceil(box[3])) - 1
    return x1, y1, max(x1, x2), max(y1, y2)


def _outline(canvas: ImageDraw.ImageDraw, box: Rectangle, colour: Colour, line: int) -> None:
    """The line lies inside the box, with a thin dark rim where there is room, so that it shows on any ground."""
    x1, y1, x2, y2 = box
    if min(x2 - x1, y2 - y1) > 4 * line + 4:
        canvas.rectangle((x1 + line, y1 + line, x2 - line, y2 - line), outline=_darker(colour), width=1)
    canvas.rectangle(box, outline=colour, width=line)


def _darker(colour: Colour) -> Colour:
    return colour[0] // 3, colour[1] // 3, colour[2] // 3


def _text(class_names: Sequence[str], label: int, score: float | None) -> str:
    name = class_names[label] if 0 <= label < len(class_names) else str(label)
    return _printable(name) if score is None else f"{_printable(name)} {score:.2f}"


def _printable(name: str) -> str:
    """One line that a font can lay out: no line breaks or control characters, no halves of surrogate pairs."""
    name = name.encode("utf-8", "replace").decode("utf-8")
    return "".join(letter if letter.isprintable() else " " for letter in name)


def _font_for(size: tuple[int, int], texts: Sequence[str]) -> Font:
    """Letters in proportion to the picture, smaller where there are many labels, never below ten pixels."""
    area = size[0] * size[1]
    points = min(48, max(10, round(math.sqrt(area) / 38)))
    font = _font(points, texts)
    labelled = sum(math.prod(_label_size(text, font)) for text in texts)
    if labelled <= LABEL_SHARE * area:
        return font
    return _font(max(10, round(points * math.sqrt(LABEL_SHARE * area / labelled))), texts)


def _font(size: int, texts: Iterable[str]) -> Font:
    """Pillow's own font, which has ASCII only; for anything else DejaVu Sans, which matplotlib brings. Letters that
    neither has (Chinese, say) show as empty boxes."""
    if all(text.isascii() for text in texts):
        return ImageFont.load_default(size=size)
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def _label_size(text: str, font: Font) -> tuple[float, float]:
    """(height, width) of the filled label. The height is that of the tallest letters, equal for all labels."""
    pad = _pad(font)
    top, bottom = _letter_span(font)
    return bottom - top + 2 * pad, font.getlength(text) + 2 * pad


def _letter_span(font: Font) -> tuple[float, float]:
    box = font.getbbox("Åg|")
    return box[1], box[3]


def _pad(font: Font) -> float:
    return max(2.0, round(getattr(font, "size", 10) / 4))


def _place_label(
    box: Rectangle, label: tuple[float, float], size: tuple[int, int], taken: Sequence[Rectangle]
) -> Rectangle | None:
    """Above the box, else inside at its top, its bottom, or below it: the first place free of other labels, else the
    one that they cover least; None where that is more than they may."""
    x1, y1, _, y2 = box
    (label_height, label_width), (height, width) = label, size
    x = max(0.0, min(x1, width - label_width))
    tops = [y for y in (y1 - label_height, y1, y2 - label_height, y2) if 0 <= y <= height - label_height]
    places = [(x, y, x + label_width, y + label_height) for y in tops or [0.0]]
    covered = [sum(_shared(place, other) for other in taken) for place in places]
    least = min(covered)
    return places[covered.index(least)] if least <= LABEL_COVERED * label_height * label_width else None


def _shared(a: Rectangle, b: Rectangle) -> float:
    """Area in both."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _write_label(canvas: ImageDraw.ImageDraw, place: Rectangle, text: str, font: Font, colour: Colour) -> None:
    red, green, blue = colour
    bright = 0.299 * red + 0.587 * green + 0.114 * blue > 140  # luma of ITU-R BT.601
    x1, y1, x2, y2 = (round(value) for value in place)
    canvas.rectangle((x1, y1, x2 - 1, y2 - 1), fill=colour)
    pad = _pad(font)
    canvas.text((x1 + pad, y1 + pad - _letter_span(font)[0]), text, fill=INK if bright else PAPER, font=font)


def _scale_to(picture: np.ndarray, width: int) -> np.ndarray:
    _check_picture(picture, "contact_sheet")
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    return np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def _sheet(rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str]) -> np.ndarray:
    columns = max(len(row) for row in rows)
    widths = [max(row[k].shape[1] for row in rows if k < len(row)) for k in range(columns)]
    heights = [max(picture.shape[0] for picture in row) for row in rows]
    font = _font(min(32, max(12, round(min(widths) / 24))), titles)
    head = round(_label_size("", font)[0]) if titles else 0
    sheet = Image.new("RGB", (sum(widths) + GAP * (columns + 1), head + sum(heights) + GAP * (len(rows) + 1)), PAPER)
    canvas = ImageDraw.Draw(sheet)
    lefts = [GAP * (k + 1) + sum(widths[:k]) for k in range(columns)]
    for left, title in zip(lefts, titles, strict=False):
        canvas.text((left, GAP // 2), _printable(title), fill=INK, font=font)
    top = head + GAP
    for row, height in zip(rows, heights, strict=True):
        for left, picture in zip(lefts, row, strict=False):
            sheet.paste(Image.fromarray(picture), (left, top))
        top += height + GAP
    return np.array(sheet)
