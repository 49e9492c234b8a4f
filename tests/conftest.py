"""What every test may ask for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from detection.data.shapes import write_shapes
from tools.tiny_run import tiny_options


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
def references() -> Path:
    """Numbers of other implementations that are small enough to be kept here: tests/data/references/README.md."""
    return Path(__file__).parent / "data" / "references"


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """COCO layout, 6 training and 3 validation pictures of 96 pixels, 6 classes. Copy it before changing it."""
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", train=6, val=3, size=96)


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Options of a detector and a run of a second: 2 iterations of 2 images of 64 pixels."""
    return tiny_options()


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


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's chromium, driven by selenium; tests that need it skip where it is absent."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium (the extra `dev`) is not installed")
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("no chromium with chromedriver; Debian has both: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--force-dark-mode=0"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    opened = webdriver.Chrome(options=options, service=service)
    yield opened
    opened.quit()
