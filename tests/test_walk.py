"""The tables of docs/architecture.md name the files that one image really passes, no more and no less."""

import re
import sys
import threading
from pathlib import Path

import detection
from detection.cli.main import main
from detection.data.dataset import DetectionDataset

ROOT = Path(__file__).parent.parent


def listed(title: str) -> set[str]:
    page = (ROOT / "docs" / "architecture.md").read_text()
    section = page.split(f"## {title}\n")[1].split("\n## ")[0]
    return set(re.findall(r"`((?:detection|backbones)/\S+\.py)`", section.split("`tests/")[0]))


class Walk:
    """The files of the toolkit in which a function is called between `start` and `stop`."""

    def __init__(self):
        self.files: set[str] = set()

    def look(self, frame, event, _):
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(str(ROOT)) and not frame.f_code.co_name.startswith("<"):
            name = str(Path(file).relative_to(ROOT))
            if name.startswith(("detection/", "backbones/")):
                self.files.add(name)

    def start(self):
        threading.setprofile(self.look)
        sys.setprofile(self.look)

    def stop(self):
        sys.setprofile(None)
        threading.setprofile(None)


def test_the_walk_of_a_training_image(shapes, tiny, tmp_path, monkeypatch):
    walk, images, read = Walk(), [], DetectionDataset.__getitem__

    def watched(dataset, key):
        images.append(key)
        {1: walk.start, 2: walk.stop}.get(len(images), bool)()
        return read(dataset, key)

    monkeypatch.setattr(DetectionDataset, "__getitem__", watched)
    settings = ["--train.batch=1", "--train.iterations=2", "--train.pictures=0"]
    try:
        assert main(["train", *tiny, f"--data={shapes}", f"--output={tmp_path}", *settings]) == 0
    finally:
        walk.stop()
    assert walk.files == listed("The walk of one training image")


def test_the_walk_of_a_predicted_image(trained, shapes):
    walk, detector, photo = Walk(), detection.load(trained / "best.pt"), shapes / "val" / "000001.jpg"
    detector(photo)
    walk.start()
    try:
        detector(photo)
    finally:
        walk.stop()
    narrow = {"backbones/winograd.py"}  # is for wide convolutions
    assert walk.files | narrow == listed("The walk of one predicted image")
