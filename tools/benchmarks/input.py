"""Files to samples on one core, against torchvision's transforms; and what its parts take by several hands."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision import tv_tensors
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2

from benchmarks.measuring import Table, alternate
from detection.config.schema import InputConfig
from detection.data.dataset import DetectionDataset
from detection.data.image import read_image, resize_image, resize_size, to_planes
from detection.data.index import AnnotationIndex
from detection.data.order import Draw
from detection.experiments.report import Report
from detection.predict.collect import collect_images

HEIGHT, WIDTH, OBJECTS, IMAGES = 480, 640, 8, 16
FLIP = [{"name": "HorizontalFlip", "p": 0.5}]
SHORT_SIDES = (800, 320)
LONG_SIDE = 1333


def write_photographs(folder: Path, count: int) -> None:
    """Soft shapes under a little noise, of which JPEG makes some 100 kB, as of a photograph."""
    random = np.random.default_rng(0)
    for k in range(count):
        colours = Image.fromarray(random.integers(0, 256, (HEIGHT // 16, WIDTH // 16, 3), dtype=np.uint8))
        smooth = np.asarray(colours.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), dtype=np.float64)
        pixels = (smooth + random.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{k:04d}.jpg", quality=90)


def index_of(files: list[Path]) -> AnnotationIndex:
    """The pictures, which must lie in one folder, with `OBJECTS` made-up objects each."""
    random, objects = np.random.default_rng(0), OBJECTS * len(files)
    sides = random.random((objects, 2)) * 100 + 20
    xywh = np.concatenate([random.random((objects, 2)) * ([WIDTH, HEIGHT] - sides), sides], axis=1)
    return AnnotationIndex(
        root=files[0].parent,
        source=files[0].parent,
        class_names=("thing",),
        category_ids=np.array([1]),
        image_ids=np.arange(len(files)),
        file_names=np.array([file.name.encode() for file in files], dtype=np.bytes_),
        sizes=np.tile(np.array([[HEIGHT, WIDTH]], dtype=np.int32), (len(files), 1)),
        offsets=np.arange(0, objects + 1, OBJECTS),
        xywh=xywh,
        labels=np.zeros(objects, dtype=np.int64),
        areas=xywh[:, 2] * xywh[:, 3],
        annotation_ids=np.arange(objects),
        crowd=np.zeros(objects, dtype=bool),
        difficult=np.zeros(objects, dtype=bool),
    )


class Torchvision:
    """torchvision's transforms of version 2 over a picture and its boxes, as its detection references have them, with
    the resize that its detector does later. by_tensor: decoded to a tensor from the start, else by Pillow."""

    def __init__(self, index: AnnotationIndex, short_side: int, by_tensor: bool) -> None:
        self.index = index
        self.by_tensor = by_tensor
        last = [] if by_tensor else [v2.ToImage()]
        self.transform = v2.Compose(
            [
                v2.RandomHorizontalFlip(0.5),
                v2.Resize(short_side, max_size=LONG_SIDE, antialias=True),
                *last,
                v2.ToDtype(torch.float32, scale=True),
                v2.SanitizeBoundingBoxes(),
            ]
        )

    def __call__(self, row: int) -> Any:
        path = self.index.path(row)
        if self.by_tensor:
            image: Any = tv_tensors.Image(decode_jpeg(read_file(str(path)), ImageReadMode.RGB))
        else:
            image = Image.open(path).convert("RGB")
        boxes = tv_tensors.BoundingBoxes(
            self.index.boxes(row).astype(np.float32), format="XYXY", canvas_size=(HEIGHT, WIDTH)
        )
        labels = torch.from_numpy(self.index.labels[self.index.rows(row)])
        return self.transform(image, {"boxes": boxes, "labels": labels})


def over(work: Callable[[Any], Any], items: list[Any]) -> Callable[[], None]:
    def run() -> None:
        for item in items:
            work(item)

    return run


def _whole(index: AnnotationIndex, rounds: int) -> Table:
    rows = list(range(len(index)))
    table = Table("the better torchvision")
    for short_side in SHORT_SIDES:
        dataset = DetectionDataset(index, InputConfig(augment=FLIP, long_side=LONG_SIDE), training=True)
        sides = {
            "torchvision, Pillow": over(Torchvision(index, short_side, False), rows),
            "torchvision, tensors": over(Torchvision(index, short_side, True), rows),
            "toolkit": over(lambda row: dataset[Draw(row, row, short_side)], rows),  # noqa: B023
        }
        torch.manual_seed(0)
        seconds = {name: [s / len(rows) for s in taken] for name, taken in alternate(sides, rounds).items()}
        peers = [seconds[name] for name in list(sides)[:2]]
        seconds = {table.peer: min(peers, key=np.median), **seconds}
        table.add(f"{HEIGHT} to {short_side}", seconds)
    return table


def _decoders(files: list[Path], rounds: int) -> tuple[Table, dict[str, int]]:
    """Time of each decoder, from file to array, and how far its pixels are from Pillow's at most."""
    decoders: dict[str, Callable[[Path], np.ndarray]] = {
        "Pillow": lambda path: np.array(Image.open(path)),
        "OpenCV": lambda path: np.asarray(cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB)),
        "torchvision": lambda path: decode_jpeg(read_file(str(path)), ImageReadMode.RGB).permute(1, 2, 0).numpy(),
        "simplejpeg": lambda path: simplejpeg.decode_jpeg(path.read_bytes()),
        "toolkit": read_image,
    }
    return _parts("decode", decoders, files, rounds)


def _resizers(files: list[Path], short_side: int, rounds: int) -> tuple[Table, dict[str, int]]:
    """The same for resizing; `(3, H, W)` is what counts, so that copying into that order is part of the time."""
    size = resize_size((HEIGHT, WIDTH), short_side, LONG_SIDE)
    way = size[::-1]

    def by_torch(image: np.ndarray) -> np.ndarray:
        planes = torch.from_numpy(image).permute(2, 0, 1)[None]
        return F.interpolate(planes, size=size, mode="bilinear", antialias=True)[0].numpy()

    resizers: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "Pillow": lambda image: to_planes(np.array(Image.fromarray(image).resize(way, Image.Resampling.BILINEAR))),
        "OpenCV": lambda image: to_planes(cv2.resize(image, way, interpolation=cv2.INTER_LINEAR)),
        "torch": by_torch,
        "toolkit": lambda image: to_planes(resize_image(image, size)),
    }
    return _parts(f"resize {HEIGHT} to {short_side}", resizers, [read_image(file) for file in files], rounds)


def _parts(
    work: str, hands: dict[str, Callable[[Any], np.ndarray]], items: list[Any], rounds: int
) -> tuple[Table, dict[str, int]]:
    apart = {
        name: max(int(np.abs(hand(item).astype(int) - hands["Pillow"](item)).max()) for item in items)
        for name, hand in hands.items()
    }
    table = Table("Pillow")
    seconds = alternate({name: over(hand, items) for name, hand in hands.items()}, rounds)
    notes = {name: f"differs by {levels} of 255 at most" for name, levels in apart.items() if name != "Pillow"}
    table.add(work, {name: [s / len(items) for s in taken] for name, taken in seconds.items()}, notes)
    return table, apart


def measure(data: str | None, rounds: int, command: list[str]) -> Report:
    """data: a folder of JPEG files of 640 x 480 pixels; made up where there is none."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        if data is None:
            write_photographs(Path(folder), IMAGES)
        files = [Path(file) for file in collect_images([data or folder]).images[:IMAGES]]
        whole = _whole(index_of(files), rounds)
        parts = [_decoders(files, rounds), *(_resizers(files, side, rounds) for side in SHORT_SIDES)]
    origin = "made up" if data is None else "photographs"
    text = f"""{len(files)} JPEG files of {WIDTH} x {HEIGHT} pixels, {origin}, with {OBJECTS} boxes each; one core.
Times are of one image. torchvision: decode, flip, resize and float32 of picture and boxes by its transforms of version
2. toolkit: a sample of its dataset, decoded, flipped by albumentations and resized, uint8, as the network takes it.

{whole.text()}

Its parts, by several hands; resized images must come out as (3, H, W):

{"".join(table.text() + chr(10) for table, _ in parts)}"""
    numbers = {"whole": whole.numbers, "parts": [table.numbers for table, _ in parts], "levels": [a for _, a in parts]}
    return Report("benchmark_input", "Speed of the input pipeline", command, numbers, text, {})
