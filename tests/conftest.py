"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detection.data.shapes import write_shapes


def pytest_configure() -> None:
    # Tensors here are tiny: a second thread gains nothing and waits for whatever else the machine runs.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and reference fixtures beside the checkout; tests that need it skip where it is absent,
    and fail where the environment says CI."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        message = f"{folder.name}/ with the reference fixtures is not beside the checkout"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return folder


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """COCO layout, 6 training and 3 validation pictures of 96 pixels, 6 classes. Copy it before changing it."""
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", train=6, val=3, size=96)


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Options of a detector and a run of a second: 2 iterations of 2 images of 64 pixels."""
    options = {
        "device": "cpu",
        "input.train_short_sides": "[64]",
        "input.test_short_side": "64",
        "input.long_side": "128",
        "input.workers": "0",
        "model.backbone": "resnet18",
        "model.weights": "null",
        "model.width": "8",
        "model.fpn_channels": "16",
        "model.anchors.sizes": "[[8],[16],[32],[64],[128]]",
        "model.rpn.train_before_nms": "100",
        "model.rpn.train_after_nms": "50",
        "model.rpn.test_before_nms": "100",
        "model.rpn.test_after_nms": "50",
        "model.roi.sampling_ratio": "1",
        "model.roi.batch_per_image": "32",
        "model.roi.hidden": "32",
        "train.batch": "2",
        "train.iterations": "2",
        "train.lr": "0.01",
        "train.warmup": "0",
        "train.pictures": "1",
        "evaluate.report": "false",
    }
    return [f"--{key}={value}" for key, value in options.items()]


@pytest.fixture(scope="session")
def trained(shapes: Path, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished `tiny` run on `shapes`. Copy it before changing it."""
    from detection.cli.main import main

    folder = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", *tiny, f"--data={shapes}", f"--output={folder}"]) == 0
    return folder


@pytest.fixture(scope="session")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders: 3 classes told apart by their colour, 12 training, 4 validation and 4 test pictures of 16 pixels
    each. Copy it before changing it."""
    folder, random = tmp_path_factory.mktemp("data") / "classes", np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 4), ("test", 4)):
        for channel, name in enumerate(("red", "green", "blue")):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = random.integers(0, 120, (16, 16, 3), dtype=np.uint8)
                pixels[..., channel] += 100
                Image.fromarray(pixels).save(folder / split / name / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def small() -> list[str]:
    """Options of a classifier's training of a second on `classes`."""
    options = {
        "device": "cpu",
        "input.augment": "pad",
        "input.crop": "16",
        "input.pad": "2",
        "input.workers": "0",
        "net.name": "cifar_resnet8",
        "net.width": "4",
        "train.batch": "12",
        "train.iterations": "6",
        "train.evaluate_every": "3",
        "train.log_every": "2",
        "evaluate.view": "whole",
    }
    return [f"--{key}={value}" for key, value in options.items()]


@pytest.fixture(scope="session")
def pretrained(classes: Path, small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished `small` run on `classes`. Copy it before changing it."""
    from detection.cli.main import main

    folder = tmp_path_factory.mktemp("pretrained") / "run"
    assert main(["pretrain", *small, f"--data={classes}", f"--output={folder}"]) == 0
    return folder
