"""Datasets on which a setting shows its effect."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detection.data.shapes import write_shapes


@pytest.fixture(scope="session", autouse=True)
def offline() -> None:
    """No tracker asks for a network or a key."""
    os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true")


@pytest.fixture(scope="session")
def spoiled(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Name -> copy of `shapes`. other: of other pictures; flawed: an annotation of each split has a box of negative
    width; mixed: pictures are wide and tall; grey: they have 16 bits of which 12 count; torn: the first training
    picture ends early."""
    root = tmp_path_factory.mktemp("spoiled")
    found = {"other": write_shapes(root / "other", train=6, val=3, size=80)}
    for name, spoil in {"flawed": _flaw, "mixed": _mix, "grey": _grey}.items():
        found[name] = shutil.copytree(shapes, root / name)
        for split in ("train", "val"):
            annotations = found[name] / "annotations" / f"instances_{split}.json"
            content = json.loads(annotations.read_text())
            spoil(content, found[name] / split)
            annotations.write_text(json.dumps(content))
    found["torn"] = shutil.copytree(shapes, root / "torn")
    picture = min((found["torn"] / "train").iterdir())
    picture.write_bytes(picture.read_bytes()[:-400])
    return found


def _flaw(content: dict[str, Any], _: Path) -> None:
    content["annotations"][0].update(bbox=[5, 5, -3, 4])


def _mix(content: dict[str, Any], folder: Path) -> None:
    for k, image in enumerate(content["images"]):
        width, height = (96, 70) if k % 2 else (70, 96)
        _redraw(folder, image, lambda picture, size=(width, height): picture.crop((0, 0, *size)))
        image.update(width=width, height=height)
    content["annotations"] = [
        a for a in content["annotations"] if a["bbox"][0] + a["bbox"][2] < 69 and a["bbox"][1] + a["bbox"][3] < 69
    ]


def _grey(content: dict[str, Any], folder: Path) -> None:
    for image in content["images"]:
        _redraw(folder, image, lambda picture: Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 16))


def _redraw(folder: Path, image: dict[str, Any], change: Callable[[Image.Image], Image.Image]) -> None:
    path = folder / image["file_name"]
    with Image.open(path) as picture:
        changed = change(picture.copy())
    path.unlink()
    image["file_name"] = path.with_suffix(".png").name
    changed.save(path.with_suffix(".png"))
