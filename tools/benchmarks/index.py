"""Annotations of COCO's size: time to load them, and the memory that loading processes come to own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, get_worker_info
from torchvision.datasets import CocoDetection

from benchmarks.measuring import Table, alternate, in_fresh_process
from detection.config.schema import InputConfig
from detection.data.coco import read_coco
from detection.data.dataset import DetectionDataset
from detection.data.locate import locate
from detection.experiments.report import Report
from detection.markdown import markdown_table

WORKERS, BATCH = 4, 16
HEIGHT, WIDTH, CLASSES, CORNERS = 480, 640, 80, 24


def write_annotations(path: Path, images: int, objects: int) -> None:
    """A COCO file with all the fields of instances_train2017.json, polygons of 24 corners among them."""
    random = np.random.default_rng(0)
    ids = random.choice(600_000, images, replace=False)
    sides = (random.random((objects, 2)) * [WIDTH / 2, HEIGHT / 2] + 4).round(2)
    boxes = np.concatenate([(random.random((objects, 2)) * ([WIDTH, HEIGHT] - sides)).round(2), sides], axis=1)
    owners, labels = random.choice(ids, objects).tolist(), random.integers(1, CLASSES + 1, objects).tolist()
    corners = random.random((objects, 2 * CORNERS), dtype=np.float32)
    scale = np.tile([WIDTH, HEIGHT], CORNERS)
    with path.open("w") as file:
        file.write('{"info": {}, "licenses": [], "categories": ')
        json.dump([{"supercategory": "thing", "id": k + 1, "name": f"class {k}"} for k in range(CLASSES)], file)
        file.write(', "images": ')
        json.dump([_image(int(number)) for number in ids], file)
        file.write(', "annotations": [')
        for k, (box, owner, label) in enumerate(zip(boxes.tolist(), owners, labels, strict=True)):
            polygon = (corners[k] * scale).round(2).tolist()
            item = {"segmentation": [polygon], "area": box[2] * box[3] * 0.6, "iscrowd": 0, "image_id": owner}
            file.write(("," if k else "") + json.dumps({**item, "bbox": box, "category_id": label, "id": k + 1}))
        file.write("]}")


def write_others(path: Path, folder: Path) -> dict[str, Path]:
    """The dataset of the COCO file `path` once more as a table and as YOLO's texts, each with its images: of every
    twenty thousand one is written, the others are links to it."""
    index = read_coco(path)
    places = {name: folder / name for name in ("CSV", "YOLO")}
    for place in places.values():
        _link_images(place / "images" / "train", [name.decode() for name in index.file_names.tolist()])
    texts = places["YOLO"] / "labels" / "train"
    texts.mkdir(parents=True)
    names = index.class_names
    (places["YOLO"] / "data.yaml").write_text(f"path: .\ntrain: images/train\nnames: [{', '.join(names)}]\n")
    with (places["CSV"] / "labels.csv").open("w") as table:
        table.write("filename,width,height,class,xmin,ymin,xmax,ymax\n")
        for row, name in enumerate(index.file_names.tolist()):
            lines = []
            for (x, y, w, h), label in zip(
                index.xywh[index.rows(row)].tolist(), index.labels[index.rows(row)].tolist()
            ):
                table.write(f"{name.decode()},{WIDTH},{HEIGHT},{names[label]},{x},{y},{x + w},{y + h}\n")
                shares = ((x + w / 2) / WIDTH, (y + h / 2) / HEIGHT, w / WIDTH, h / HEIGHT)
                lines.append(f"{label} " + " ".join(f"{share:.6f}" for share in shares) + "\n")
            (texts / f"{name.decode()[:-4]}.txt").write_text("".join(lines))
    return places


def _link_images(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True)
    first = folder
    for k, name in enumerate(names):
        if k % 20_000 == 0:  # file systems have a largest number of links to a file
            first = folder / name
            Image.new("RGB", (WIDTH, HEIGHT)).save(first)
        else:
            os.link(first, folder / name)


def _image(number: int) -> dict[str, Any]:
    name, host = f"{number:012d}.jpg", "http://images.cocodataset.org/train2017"
    made = {"license": 3, "date_captured": "2013-11-14 11:18:45", "flickr_url": f"http://farm9.staticflickr.com/{name}"}
    return {**made, "file_name": name, "coco_url": f"{host}/{name}", "height": HEIGHT, "width": WIDTH, "id": number}


class Ours(Dataset[np.ndarray]):
    """The boxes of an image as training reads them, without its pixels."""

    def __init__(self, path: Path) -> None:
        self.dataset = DetectionDataset(read_coco(path), InputConfig(), training=True)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: int) -> np.ndarray:
        return self.dataset.annotations(row, (HEIGHT, WIDTH))[0]


class Peer(Dataset[np.ndarray]):
    """torchvision's dataset, asked for the same."""

    def __init__(self, path: Path) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self.dataset = CocoDetection(str(path.parent), str(path))

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: int) -> np.ndarray:
        items = self.dataset._load_target(self.dataset.ids[row])
        boxes = np.array([item["bbox"] for item in items], dtype=np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return boxes


SIDES: dict[str, Callable[[Path], Dataset[np.ndarray]]] = {"torchvision": Peer, "toolkit": Ours}


def private() -> float:
    """MB of memory that this process shares with no other."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty"))) / 1024


def growth(name: str, path: Path) -> float:
    """MB that `WORKERS` loading processes own after an epoch beyond what they owned at its start, all together; for a
    fresh process."""
    measured = torch.zeros(2, WORKERS).share_memory_()
    batches = DataLoader(
        _Watched(SIDES[name](path), measured),
        BATCH,
        shuffle=True,
        num_workers=WORKERS,
        multiprocessing_context="fork",
        collate_fn=list,
        worker_init_fn=lambda worker: measured[0, worker].fill_(private()),
    )
    for _ in batches:
        pass
    return float((measured[1] - measured[0]).sum())


class _Watched(Dataset[np.ndarray]):
    """The dataset, in a process that writes down what it owns at every hundredth image and at its last ones."""

    def __init__(self, dataset: Any, measured: torch.Tensor) -> None:
        self.dataset = dataset
        self.measured = measured
        self.seen = 0

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: int) -> np.ndarray:
        boxes = self.dataset[row]
        self.seen += 1
        if self.seen % 100 == 0 or self.seen > len(self) // WORKERS - 2 * BATCH:
            worker = get_worker_info()
            assert worker is not None
            self.measured[1, worker.id] = max(float(self.measured[1, worker.id]), private())
        return boxes


@contextlib.contextmanager
def annotation_file(images: int, objects: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "instances.json"
        write_annotations(path, images, objects)
        yield path


def _times(table: Table, name: str) -> str:
    seconds = table.numbers["load"]["seconds"]
    return f"{statistics.median(seconds[f'toolkit, {name}']) / statistics.median(seconds['toolkit']):.1f}"


def measure(images: int, objects: int, rounds: int, command: list[str]) -> Report:
    with annotation_file(images, objects) as path, tempfile.TemporaryDirectory() as others:
        size = os.path.getsize(path) / 1e6
        table = Table("torchvision", unit="s")
        sides: dict[str, Callable[[], Any]] = {name: lambda side=side: side(path) for name, side in SIDES.items()}  # type: ignore[misc]
        for name, place in write_others(path, Path(others)).items():
            sides[f"toolkit, {name}"] = lambda place=place: locate(place).read("train")  # type: ignore[misc]
        table.add("load", alternate(sides, rounds))
        owned = {name: in_fresh_process(growth, name, path) for name in SIDES}
    rows = [[name, f"{megabytes:.0f}"] for name, megabytes in owned.items()]
    text = f"""{images} images with {objects} objects in a COCO file of {size:.0f} MB with polygons, made up.
torchvision's dataset reads it by pycocotools. The same as a CSV table, and as YOLO's texts with the headers of all
images, which alone tell their sizes, takes the toolkit {_times(table, "CSV")} and {_times(table, "YOLO")} times as long
as the COCO file.

{table.text()}

Memory that {WORKERS} loading processes together come to own in one epoch over the annotations, without pixels:

{markdown_table(["by", "MB"], rows, "lr")}"""
    numbers = {"time": table.numbers, "private_mb": owned, "file_mb": size}
    return Report("benchmark_index", "Annotations of COCO's size", command, numbers, text, {})
