"""The embedded dataset `shapes`: drawn pictures with exact boxes, for trying things without a download.

Six classes of filled shapes, turned and stretched, each in colours around its own hue, partly hiding one another, on
noisy backgrounds with strokes that are no objects. Objects span COCO's small, medium and large. Image i of a split
depends on the seed, the split and i alone.
"""

from __future__ import annotations

import colorsys
import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from detection.errors import InputError
from detection.geometry.arrays import iou

CLASS_NAMES = ("circle", "rectangle", "triangle", "star", "cross", "ring")
MARKER = "shapes.json"
VERSION = 3
"""of the drawing; a new one makes old caches be drawn again"""

SIDES = ((28, 38, 0.25), (38, 110, 0.45), (120, 200, 0.3))
"""(least, most, share): diameter of the shapes in pixels, and how many shapes have it"""
MAX_SHARE = 0.75
"""of the picture's side that a diameter may take"""
MIN_SIZE = 64
"""pixels of a picture's side; a small shape takes half of it"""
MIN_OBJECTS, MAX_OBJECTS = 2, 6
MAX_TURN = np.pi / 6
"""radians either way"""
MIN_VISIBLE = 0.6
"""share of a shape that the shapes before it leave visible"""
MAX_IOU = 0.4
"""of two boxes; non-maximum suppression at .5 must be able to keep both"""
HUE_SPREAD = 0.06
"""turn of the colour wheel either way of the hue of a class; neighbours are 1/6 apart"""
MIN_CONTRAST = 90.0
"""distance in RGB between a shape and the mean of what it covers"""

OVERSAMPLING = 4
FRACTION_BITS = 4
"""of a pixel, in OpenCV's drawing"""


class _Shape(NamedTuple):
    label: int
    mask: np.ndarray
    """(S, S) uint8, antialiased, 0..255"""
    box: tuple[float, float, float, float]
    """x1 y1 x2 y2, clipped to the image"""


def default_cache() -> Path:
    """Where generated data is kept: $FRCNN_CACHE, else $XDG_CACHE_HOME/frcnn, else ~/.cache/frcnn."""
    if os.environ.get("FRCNN_CACHE"):
        return Path(os.environ["FRCNN_CACHE"])
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "frcnn"


def write_shapes(folder: Path, train: int, val: int, size: int = 256, seed: int = 0) -> Path:
    """Draw `train` and `val` images of `size` x `size` pixels into `folder`, in COCO layout, and return the folder.

    annotations/instances_{train,val}.json, train/000001.jpg ..., val/000001.jpg ... The folder appears whole or not at
    all; one that already holds the same dataset is left as it is, another generated one is replaced. Raises InputError
    where `folder` holds anything else, or where the size is too small to draw in.
    """
    folder = Path(folder)
    if size < MIN_SIZE or min(train, val) < 1:
        raise InputError(
            f"shapes: {train} and {val} images of {size} pixels; each split takes 1 image or more of {MIN_SIZE} pixels"
        )
    wanted = {"version": VERSION, "train": train, "val": val, "size": size, "seed": seed}
    if _marker(folder) == wanted:
        return folder
    if folder.exists() and _marker(folder) is None and any(folder.iterdir()):
        raise InputError(f"{folder}: holds something other than generated shapes; give another folder")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        for split, count in (("train", train), ("val", val)):
            _write_split(temporary, split, count, size, seed)
        (temporary / MARKER).write_text(json.dumps(wanted))
        _replace_folder(temporary, folder)
    except OSError as error:
        # Another process may have put the same dataset there meanwhile.
        if _marker(folder) != wanted:
            raise InputError(f"{folder}: cannot be written ({error.strerror}); give another folder") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def draw_scene(size: int, generator: np.random.Generator) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """One picture (size, size, 3) uint8 RGB and its objects: label 0..5, bbox x y w h, area in pixels."""
    canvas = _background(size, generator)
    placed: list[_Shape] = []
    visible: list[np.ndarray] = []
    sides = [_side(generator) for _ in range(int(generator.integers(MIN_OBJECTS, MAX_OBJECTS + 1)))]
    # Large ones first: they find no place between others, and would hide them.
    for side in sorted(sides, reverse=True):
        for _attempt in range(20):
            shape = _place(size, min(side, MAX_SHARE * size), generator)
            if _fits(shape, placed, visible):
                break
        else:
            continue
        inside = shape.mask > 127
        visible = [seen & ~inside for seen in visible] + [inside]
        placed.append(shape)
        _paint(canvas, shape, generator)
    noise = generator.standard_normal((size, size, 1), dtype=np.float32) * np.float32(generator.uniform(1, 5))
    objects = [
        {
            "label": shape.label,
            "bbox": [round(shape.box[0], 2), round(shape.box[1], 2)]
            + [round(shape.box[2] - shape.box[0], 2), round(shape.box[3] - shape.box[1], 2)],
            "area": int(np.count_nonzero(shape.mask > 127)),
        }
        for shape in placed
    ]
    return np.clip(canvas + noise, 0, 255).astype(np.uint8), objects


def _marker(folder: Path) -> Any:
    """What a finished folder was made with; None where there is no readable marker."""
    try:
        return json.loads((folder / MARKER).read_text())
    except (OSError, ValueError):
        return None


def _replace_folder(temporary: Path, folder: Path) -> None:
    old = temporary.with_suffix(".old")
    try:
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _write_split(root: Path, split: str, count: int, size: int, seed: int) -> None:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    (root / split).mkdir(parents=True)
    for i in range(count):
        # Letter by letter, since hash() of a text differs from run to run.
        generator = np.random.default_rng([seed, *split.encode(), i])
        picture, objects = draw_scene(size, generator)
        name = f"{i + 1:06d}.jpg"
        _, encoded = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
        (root / split / name).write_bytes(encoded.tobytes())
        images.append({"id": i + 1, "file_name": name, "height": size, "width": size})
        for item in objects:
            fields = {"bbox": item["bbox"], "area": item["area"], "iscrowd": 0}
            keys = {"id": len(annotations) + 1, "image_id": i + 1, "category_id": item["label"] + 1}
            annotations.append(keys | fields)
    categories = [{"id": label + 1, "name": name} for label, name in enumerate(CLASS_NAMES)]
    data = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(data))


def _background(size: int, generator: np.random.Generator) -> np.ndarray:
    """(S, S, 3) float32: noise of several frequencies over a muted colour, a gradient, and strokes."""
    canvas = np.empty((size, size, 3), dtype=np.float32)
    canvas[:] = 128 + generator.uniform(-70, 70) + generator.uniform(-25, 25, 3)
    for cells, strength in ((3, 22), (9, 14), (33, 10), (size // 2, 8)):
        grid = generator.standard_normal((cells, cells, 3), dtype=np.float32) * strength * generator.uniform(0.3, 1)
        canvas += cv2.resize(grid.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    slope = generator.uniform(-30, 30, 2)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    canvas += (slope[0] * ramp[:, None] + slope[1] * ramp[None, :])[:, :, None].astype(np.float32)
    mean = cv2.mean(canvas)[:3]
    for _ in range(int(generator.integers(2, 9))):
        points = generator.uniform(0, size, (int(generator.integers(2, 5)), 2))
        colour = mean + generator.uniform(-60, 60, 3)
        thickness = int(generator.integers(1, 4))
        line = np.round(points).astype(np.int32)
        cv2.polylines(canvas, [line], False, tuple(map(float, colour)), thickness, cv2.LINE_AA)
    return np.clip(canvas, 0, 255)


def _outlines(label: int) -> list[np.ndarray]:
    """Closed outlines (n, 2) of a shape within the unit circle; an outline inside another is a hole."""
    turn = np.linspace(0, 2 * np.pi, 49)[:-1]
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    name = CLASS_NAMES[label]
    if name == "circle":
        return [circle]
    if name == "ring":
        return [circle, circle * 0.55]
    if name == "rectangle":
        return [np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.75]
    if name == "triangle":
        return [circle[[0, 16, 32]]]
    if name == "star":
        spikes = np.arange(10) * np.pi / 5
        radius = np.where(np.arange(10) % 2 == 0, 1.0, 0.4)
        return [np.stack([radius * np.cos(spikes), radius * np.sin(spikes)], axis=1)]
    a, b = 0.3, 0.95
    corners = [
        (a, b),
        (a, a),
        (b, a),
        (b, -a),
        (a, -a),
        (a, -b),
        (-a, -b),
        (-a, -a),
        (-b, -a),
        (-b, a),
        (-a, a),
        (-a, b),
    ]
    return [np.array(corners)]


def _side(generator: np.random.Generator) -> float:
    """A diameter in pixels."""
    least, most, _ = SIDES[generator.choice(len(SIDES), p=[share for _, _, share in SIDES])]
    return float(generator.uniform(least, most))


def _place(size: int, side: float, generator: np.random.Generator) -> _Shape:
    """A shape of random class, stretch, turn and place; at most a sixth of its diameter leaves the image."""
    label = int(generator.integers(len(CLASS_NAMES)))
    squeeze = generator.uniform(0.5, 1.0) if CLASS_NAMES[label] == "rectangle" else generator.uniform(0.8, 1.0)
    angle = generator.uniform(-MAX_TURN, MAX_TURN)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    margin = side / 3
    centre = generator.uniform(margin, size - margin, 2)
    outlines = [(outline * [1, squeeze]) @ turn.T * (side / 2) + centre for outline in _outlines(label)]
    low, high = np.clip(outlines[0].min(axis=0), 0, size), np.clip(outlines[0].max(axis=0), 0, size)
    box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    return _Shape(label, _fill(outlines, box, size), box)


def _fill(outlines: list[np.ndarray], box: tuple[float, float, float, float], size: int) -> np.ndarray:
    """(S, S) uint8 mask of what lies between the outlines, drawn OVERSAMPLING times as large and averaged.

    OpenCV paints every pixel that an outline touches: at the final size, shapes would reach half a pixel over their
    boxes.
    """
    left, top, right, bottom = int(box[0]), int(box[1]), int(np.ceil(box[2])), int(np.ceil(box[3]))
    large = np.zeros(((bottom - top) * OVERSAMPLING, (right - left) * OVERSAMPLING), dtype=np.uint8)
    # OpenCV puts whole numbers on pixel centres, boxes have them on pixel edges.
    points = [(outline - [left, top]) * OVERSAMPLING - 0.5 for outline in outlines]
    fixed = [np.round(outline * 2**FRACTION_BITS).astype(np.int32) for outline in points]
    cv2.fillPoly(large, fixed, 255, cv2.LINE_8, FRACTION_BITS)
    mask = np.zeros((size, size), dtype=np.uint8)
    mask[top:bottom, left:right] = cv2.resize(large, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    return mask


def _fits(shape: _Shape, placed: list[_Shape], visible: list[np.ndarray]) -> bool:
    """Whether every shape below stays visible enough, and no two boxes coincide."""
    inside = shape.mask > 127
    for other, seen in zip(placed, visible, strict=True):
        whole = np.count_nonzero(other.mask > 127)
        if (
            np.count_nonzero(seen & ~inside) < MIN_VISIBLE * whole
            or iou(np.array(shape.box), np.array(other.box)) > MAX_IOU
        ):
            return False
    return True


def _colour(label: int, mean: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """(3,) float32: a colour around the hue of the class, far enough from `mean`.

    With colours free of the class, a net from scratch needs several times as many pictures as minutes allow.
    """
    while True:
        hue = (label / len(CLASS_NAMES) + generator.uniform(-HUE_SPREAD, HUE_SPREAD)) % 1
        rgb = colorsys.hsv_to_rgb(hue, generator.uniform(0.5, 1), generator.uniform(0.45, 1))
        colour = 255 * np.array(rgb, dtype=np.float32)
        if np.linalg.norm(colour - mean) >= MIN_CONTRAST:
            return colour


def _paint(canvas: np.ndarray, shape: _Shape, generator: np.random.Generator) -> None:
    """Blend the shape into `canvas`, in place, in a colour of its own, shaded from one side to the other."""
    x1, y1, x2, y2 = shape.box
    # One pixel more than the box, for the soft edge.
    window = np.s_[max(0, int(y1) - 1) : int(y2) + 2, max(0, int(x1) - 1) : int(x2) + 2]
    patch, alpha = canvas[window], shape.mask[window].astype(np.float32)[:, :, None] / 255
    colour = _colour(shape.label, np.array(cv2.mean(patch)[:3]), generator)
    slope = generator.uniform(-15, 15, 2).astype(np.float32)
    down = np.linspace(-1, 1, patch.shape[0], dtype=np.float32)[:, None, None]
    right = np.linspace(-1, 1, patch.shape[1], dtype=np.float32)[None, :, None]
    patch += alpha * (colour + slope[0] * down + slope[1] * right - patch)
