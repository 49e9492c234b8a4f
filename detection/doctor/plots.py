"""Pictures of an examination: histograms, and the worst items drawn."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from detection.data.image import read_image
from detection.data.index import AnnotationIndex
from detection.doctor.examine import Examination
from detection.doctor.findings import RULES, Finding, Item
from detection.errors import InputError
from detection.predict.draw import contact_sheet, draw
from detection.printable import printable

CLASSES = 30
"""classes in the histogram; the rest are one bar"""
BINS = 40
"""at most, of objects in an image"""
RULES_SHOWN, EXAMPLES = 8, 4
"""rows and columns of the sheet"""
THUMBNAILS, THUMBNAIL = 8, 320
"""pictures of a finding on the page, and pixels of their longer side"""
WIDTH = 480
"""pixels of an example"""
MARGIN = 0.75
"""of the boxes' extent, shown on each side of them"""


def histograms(examination: Examination) -> bytes:
    """A PNG: objects of each class, side and shape of boxes, objects an image; a colour a split."""
    figure = Figure(figsize=(13, 9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2)
    parts = {split: index for split, index in examination.parts.items() if len(index)}
    _classes(axes[0, 0], parts)
    most = max((int(np.diff(index.offsets).max()) for index in parts.values()), default=0)
    for split, index in parts.items():
        sides = np.maximum(index.xywh[:, 2:], 1e-3)
        per_image = np.diff(index.offsets)
        style = {"histtype": "step", "linewidth": 1.6, "label": split, "density": True}
        axes[0, 1].hist(np.log2(np.sqrt(sides.prod(axis=1))), bins=np.arange(0, 12.1, 0.25), **style)
        axes[1, 0].hist(np.log2(sides[:, 1] / sides[:, 0]), bins=np.arange(-5, 5.1, 0.25), **style)
        axes[1, 1].hist(per_image, bins=whole_bins(most), **style)
    axes[0, 1].set_xticks(range(0, 12, 2), [str(2**k) for k in range(0, 12, 2)])
    axes[1, 0].set_xticks(range(-4, 5, 2), ["1:16", "1:4", "1:1", "4:1", "16:1"])
    for axis, title in (
        (axes[0, 1], "Side of the boxes (square root of the area), pixels of the image"),
        (axes[1, 0], "Height to width of the boxes"),
        (axes[1, 1], "Objects in an image"),
    ):
        axis.set_title(title, loc="left", fontsize=11)
        axis.set_yticks([])
        axis.legend(frameon=False)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a letter that the font lacks shows as a box
        figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def whole_bins(largest: int) -> np.ndarray:
    """Edges of bins over the whole numbers 0..largest: one a number while there are few, else of equal whole width, so
    that every bin holds as many numbers as the next."""
    width = max(1, -(-(max(10, largest) + 1) // BINS))
    return np.arange(0, max(10, largest) + 1 + width, width) - 0.5


def _classes(axis: Any, parts: dict[str, AnnotationIndex]) -> None:
    names = next(iter(parts.values())).class_names if parts else ()
    counts = {split: np.bincount(index.labels, minlength=len(names)) for split, index in parts.items()}
    order = np.argsort(-sum(counts.values(), np.zeros(len(names), int)), kind="stable")
    shown = order[:CLASSES]
    labels = [_plain(names[k]) for k in shown.tolist()]
    if len(order) > CLASSES:
        labels.append(f"{len(order) - CLASSES} others")
    height = 0.8 / max(len(parts), 1)
    for place, (split, values) in enumerate(counts.items()):
        bars = values[shown].tolist() + ([int(values[order[CLASSES:]].sum())] if len(order) > CLASSES else [])
        axis.barh(np.arange(len(bars)) + place * height - 0.4 + height / 2, bars, height, label=split)
    axis.set_yticks(range(len(labels)), labels, fontsize=8 if len(labels) > 12 else 10)
    axis.invert_yaxis()
    axis.set_xscale("symlog", linthresh=1)
    axis.set_title("Objects of each class", loc="left", fontsize=11)
    axis.legend(frameon=False)


def _plain(name: str) -> str:
    """A class name that matplotlib does not take for a formula."""
    return printable(name)[:24].replace("$", r"\$")


def worst(examination: Examination) -> bytes | None:
    """A PNG with a row for each finding that can be shown, the most important first; None where there is none."""
    rows = []
    for finding in examination.findings:
        pictures = [
            p for item in finding.items[: 3 * EXAMPLES] if (p := _example(examination, finding, item)) is not None
        ]
        if pictures:
            rows.append(pictures[:EXAMPLES])
        if len(rows) == RULES_SHOWN:
            break
    if not rows:
        return None
    buffer = io.BytesIO()
    Image.fromarray(contact_sheet(rows, width=WIDTH)).save(buffer, "png")
    return buffer.getvalue()


def thumbnails(examination: Examination, finding: Finding) -> list[tuple[Item, bytes]]:
    """The first items of a finding whose images can be shown, each with a small JPEG."""
    found = []
    for item in finding.items[: 3 * THUMBNAILS]:
        picture = _drawn(examination, finding, item)
        if picture is not None:
            small, buffer = Image.fromarray(picture), io.BytesIO()
            small.thumbnail((THUMBNAIL, THUMBNAIL))
            small.save(buffer, "JPEG", quality=80, optimize=True)
            found.append((item, buffer.getvalue()))
        if len(found) == THUMBNAILS:
            break
    return found


def _example(examination: Examination, finding: Finding, item: Item) -> np.ndarray | None:
    """The item as `_drawn`, under a line that says what it is."""
    drawn = _drawn(examination, finding, item)
    if drawn is None:
        return None
    return _captioned(drawn, f"{RULES[finding.rule].severity}: {finding.rule}", f"{item.split} {item.image}")


def _drawn(examination: Examination, finding: Finding, item: Item) -> np.ndarray | None:
    """The item's image with its boxes, cut out around them; None where there is no image or it cannot be read."""
    if item.image is None or item.split not in examination.parts:
        return None
    index = examination.parts[item.split]
    try:
        image = read_image(index.root / item.image)
    except InputError:
        return None
    boxes = np.array(item.boxes, dtype=np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    whole = finding.rule.startswith(("image", "shared", "similar", "copy", "no objects")) or not len(boxes)
    if not whole:
        image, boxes = _cut(image, boxes)
    return draw(image, boxes, np.array(item.labels, dtype=np.int64), index.class_names)


def _cut(image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of the image around the boxes, enlarged where it is small, and the boxes in it."""
    height, width = image.shape[:2]
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    reach = max(MARGIN * float((high - low).max()), 40.0)
    x1, y1 = (int(v) for v in np.clip(low - reach, 0, [width - 1, height - 1]))
    x2, y2 = (int(v) for v in np.clip(high + reach, [x1 + 1, y1 + 1], [width, height]))
    part = Image.fromarray(image[y1:y2, x1:x2])
    scale = max(1.0, WIDTH / part.width)
    part = part.resize((round(part.width * scale), round(part.height * scale)), Image.Resampling.BICUBIC)
    return np.array(part), (boxes - [x1, y1, x1, y1]) * scale


def _captioned(picture: np.ndarray, title: str, name: str) -> np.ndarray:
    scale = WIDTH / picture.shape[1]
    below = Image.fromarray(picture).resize((WIDTH, max(1, min(2 * WIDTH, round(picture.shape[0] * scale)))))
    sheet = Image.new("RGB", (WIDTH, below.height + 36), (250, 250, 250))
    sheet.paste(below, (0, 36))
    canvas = ImageDraw.Draw(sheet)
    canvas.text((2, 2), title, fill=(20, 20, 20), font_size=15)
    shown = printable(name).encode("ascii", "replace").decode()
    canvas.text((2, 19), shown if len(shown) < 70 else f"...{shown[-66:]}", fill=(90, 90, 90), font_size=12)
    return np.array(sheet)
