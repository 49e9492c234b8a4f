"""What the fuzzer damages, and what then reads it. A case is known by its kind and number, and a seed."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from fuzz_mutations import damage_bytes, damage_lines, damage_value, damage_xml
from PIL import Image

from backbones.pretrained import WeightsError, read_state
from detection import checkpoint
from detection.cli.main import main as frcnn
from detection.config.read import read_config, to_dict
from detection.config.schema import Config
from detection.data.check import check_index
from detection.data.coco import read_coco, write_coco
from detection.data.image import image_size, read_image
from detection.data.locate import locate
from detection.data.shapes import write_shapes
from detection.data.voc import write_voc
from detection.data.yolo import write_yolo
from detection.errors import InputError
from detection.interop.detectron2 import from_detectron2
from detection.interop.zoo_pickle import read_zoo_pickle
from detection.loading.detectors import load_detector, model_settings
from detection.model.build import build_model
from detection.training.proposal_cache import load_proposals, save_proposals

IMAGE_FORMATS = {"jpg": "JPEG", "png": "PNG", "bmp": "BMP", "gif": "GIF", "tiff": "TIFF", "webp": "WEBP"}

Read = Callable[[], object]


class Originals:
    """Sound files of every format below `folder`, which the cases are made from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.coco = write_shapes(folder / "coco", 3, 2, 64)
        self.index = read_coco(self.coco / "annotations/instances_train.json")
        (folder / "voc").mkdir()
        write_voc(self.index, folder / "voc")
        shutil.copytree(self.coco / "train", folder / "voc/JPEGImages")
        write_yolo(self.index, folder / "yolo")
        shutil.copytree(self.coco / "train", folder / "yolo/images/train")
        self.config = _tiny_config()
        model = build_model(self.config.model, 2)
        self.content = {
            "task": "detection",
            "config": to_dict(self.config),
            "classes": ["cat", "dog"],
            "iteration": 3,
            "metrics": {"AP": 0.1},
            "model": model.state_dict(),
            "versions": {"torch": torch.__version__},
        }
        checkpoint.save(folder / "best.pt", self.content)
        rows = np.random.default_rng(0).random((3, 4, 4)).astype(np.float32)
        save_proposals(folder / "proposals.npz", list(rows))
        self.zoo = {"backbone.bottom_up.stem.conv1.weight": rows, "proposal_generator.rpn_head.conv.bias": rows[0]}
        self.results = [
            {"image_id": int(i), "category_id": 1, "bbox": [1.0, 2.0, 9.0, 8.0], "score": 0.5}
            for i in self.index.image_ids
        ]


def _tiny_config() -> Config:
    config = Config()
    config.model.backbone, config.model.weights = "resnet18", None
    config.model.width, config.model.fpn_channels, config.model.roi.hidden = 8, 8, 16
    config.train.iterations = 1
    return config


def coco(originals: Originals, folder: Path, draw: random.Random) -> Read:
    file, content = folder / "damaged.json", (originals.coco / "annotations/instances_train.json").read_bytes()
    if draw.random() < 0.6:
        content = json.dumps(damage_value(json.loads(content), draw)).encode()
    else:
        content = damage_bytes(content, draw)
    file.write_bytes(content)

    def read() -> object:
        with contextlib.suppress(InputError):  # leaving out what is wrong must not fail in other ways
            read_coco(file, originals.coco / "train", lambda line: None)
        index = read_coco(file, originals.coco / "train")
        write_coco(index, folder / "again.json")
        return check_index(index, "skip", decode=False)

    return read


def voc(originals: Originals, folder: Path, draw: random.Random) -> Read:
    shutil.copytree(originals.folder / "voc", folder / "voc")
    place = draw.choice((*sorted((folder / "voc/Annotations").iterdir()), folder / "voc/ImageSets/Main/train.txt"))
    content = place.read_bytes()
    if draw.random() < 0.4:
        content = damage_bytes(content, draw)
    else:
        content = (damage_xml if place.suffix == ".xml" else damage_lines)(content, draw)
    place.write_bytes(content)
    return _source(folder / "voc")


def yolo(originals: Originals, folder: Path, draw: random.Random) -> Read:
    shutil.copytree(originals.folder / "yolo", folder / "yolo")
    place = draw.choice((*sorted((folder / "yolo/labels/train").iterdir()), folder / "yolo/data.yaml"))
    content = place.read_bytes()
    if draw.random() < 0.4:
        content = damage_bytes(content, draw)
    elif place.suffix == ".yaml":
        content = _damage_yaml(content, draw)
    else:
        content = damage_lines(content, draw)
    place.write_bytes(content)
    return _source(folder / "yolo/data.yaml" if draw.random() < 0.5 else folder / "yolo")


def _source(path: Path) -> Read:
    def read() -> object:
        source = locate(path)
        split = next(iter(source.splits), "train")
        with contextlib.suppress(InputError):
            source.read(split, None, lambda line: None)
        return check_index(source.read(split), "skip", decode=False)

    return read


def image(originals: Originals, folder: Path, draw: random.Random) -> Read:
    suffix = draw.choice(tuple(IMAGE_FORMATS))
    file = folder / f"damaged.{suffix}"
    buffer = io.BytesIO()
    mode = draw.choice(("RGB", "L", "RGBA", "P", "1", "CMYK", "I;16"))
    pixels = np.frombuffer(draw.randbytes(24 * 20 * 3), np.uint8).reshape(20, 24, 3)
    exif = Image.Exif()
    exif[0x0112] = draw.randrange(1, 9)
    try:
        picture = Image.fromarray(pixels)
        picture = picture.convert("I").convert("I;16") if mode == "I;16" else picture.convert(mode)
        picture.save(buffer, IMAGE_FORMATS[suffix], exif=exif.tobytes())
    except (OSError, ValueError, TypeError):  # a mode that the format does not have
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, IMAGE_FORMATS[suffix])
    file.write_bytes(damage_bytes(buffer.getvalue(), draw))

    def read() -> object:
        with contextlib.suppress(InputError):
            image_size(file)
        return read_image(file)

    return read


TENSORS: tuple[Any, ...] = (
    torch.zeros(0), torch.zeros(1).expand(10**9), torch.zeros(3).to_sparse(), torch.zeros(2, dtype=torch.complex64),
    torch.zeros(2, dtype=torch.half), torch.tensor(float("nan")), "text", None, 10**30, [1], {"x": torch.zeros(1)},
)  # fmt: skip


def our_checkpoint(originals: Originals, folder: Path, draw: random.Random) -> Read:
    file = folder / draw.choice(("best.pt", "last.pt"))
    if draw.random() < 0.5:
        file.write_bytes(damage_bytes((originals.folder / "best.pt").read_bytes(), draw))
    else:
        content = damage_value(originals.content, draw, (*TENSORS, "x\x1b[2J", -1, 10**9, 2.5, True, [], {}))
        torch.save({"format": 1, **content} if isinstance(content, dict) else content, file)

    def read() -> object:
        with contextlib.suppress(InputError):
            model_settings(file)
        with contextlib.suppress(WeightsError):
            read_state(file)
        return load_detector(file, torch.device("cpu"))

    return read


def zoo_pickle(originals: Originals, folder: Path, draw: random.Random) -> Read:
    file = folder / "damaged.pkl"
    content: Any = {"model": originals.zoo}
    if draw.random() < 0.4:
        strange: Any = (
            np.zeros((0, 3)),
            np.array([{}], object),
            np.zeros(2, "M8[s]"),
            np.float32(1),
            b"x",
            1,
            None,
            [],
            "a",
        )
        content = damage_value(content, draw, strange)
    data = pickle.dumps(content, protocol=draw.randrange(5))
    file.write_bytes(damage_bytes(data, draw) if draw.random() < 0.8 else data)
    return lambda: _named(file, lambda: from_detectron2(read_zoo_pickle(file)))


def _named(file: Path, read: Read) -> object:
    """`from_detectron2` knows no file: its caller names it."""
    try:
        return read()
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


def proposals(originals: Originals, folder: Path, draw: random.Random) -> Read:
    file = folder / "damaged.npz"
    if draw.random() < 0.6:
        file.write_bytes(damage_bytes((originals.folder / "proposals.npz").read_bytes(), draw))
    else:
        arrays = {"offsets": np.array([0, 4, 8, 12]), "boxes": np.zeros((12, 4), np.float32)}
        key = draw.choice(tuple(arrays))
        strange: Any = (
            np.zeros(4),
            np.zeros((4, 2)),
            np.array([0, -1, 99, 5]),
            np.array("x"),
            np.zeros((12, 3)),
            np.array(1),
        )
        arrays[key] = draw.choice(strange)
        np.savez(file, **arrays)  # type: ignore[arg-type]
    return lambda: load_proposals(file, 3)


def config(originals: Originals, folder: Path, draw: random.Random) -> Read:
    file = folder / "damaged.yaml"
    content = yaml.safe_dump(to_dict(originals.config), sort_keys=False).encode()
    file.write_bytes(_damage_yaml(content, draw) if draw.random() < 0.6 else damage_bytes(content, draw))
    return lambda: read_config(["--config", str(file)], Config)


def _damage_yaml(content: bytes, draw: random.Random) -> bytes:
    if draw.random() < 0.2:
        bomb = b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (i + 1, i + 1, i, i) for i in range(97, 120))
        extra = (b"\nx: !!python/object/apply:os.system [id]\n", b"\n" + bomb, b"\na: &a [*a]\n", b"\nx: !!int ''\n")
        return content + draw.choice(extra)
    tree = damage_value(yaml.safe_load(content), draw)
    try:
        return yaml.safe_dump(tree, sort_keys=False).encode()
    except (RecursionError, UnicodeEncodeError):
        return b"x: " + b"[" * 3000


def results(originals: Originals, folder: Path, draw: random.Random) -> Read:
    """The command line itself, on damaged predictions and, for submissions, damaged annotations."""
    file, data = folder / "damaged.json", folder / "data.json"
    tree = damage_value(originals.results, draw)
    content = json.dumps(tree).encode()
    file.write_bytes(content if draw.random() < 0.7 else damage_bytes(content, draw))
    shutil.copyfile(originals.coco / "annotations/instances_train.json", data)
    command = draw.choice(("evaluate", "evaluate voc", "submit voc", "submit coco"))
    if command == "submit coco" and draw.random() < 0.5:
        data.write_bytes(json.dumps(damage_value(json.loads(data.read_bytes()), draw)).encode())
    line = [command.split()[0], f"--predictions={file}", f"--data={data}"]
    if command == "evaluate voc":
        line += ["--metric=voc"]
    elif command.startswith("submit"):
        line += [f"--kind={command.split()[1]}", f"--output={folder / 'out'}"]
    return lambda: _run(line)


def _run(line: list[str]) -> object:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = frcnn(line)
    if status == 2:
        raise InputError(err.getvalue().removesuffix("\n"))
    assert status == 0 and "\x1b" not in out.getvalue(), f"status {status}, {out.getvalue()!r}"
    return status


TARGETS: dict[str, dict[str, Callable[[Originals, Path, random.Random], Read]]] = {
    "annotations": {"coco": coco, "voc": voc, "yolo": yolo},
    "images": {"image": image},
    "checkpoints": {"checkpoint": our_checkpoint, "pickle": zoo_pickle, "proposals": proposals},
    "configs": {"config": config},
    "predictions": {"results": results},
}
