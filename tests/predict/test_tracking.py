"""Objects of a video keep their numbers, also while one hides the other; each video counts anew."""

import itertools
import json
import sys

import cv2
import numpy as np
import pytest
import torch
from torchvision.ops import nms

from detection.cli import predict
from detection.cli.main import main
from detection.predict.draw import draw
from detection.predict.video import VideoFile
from detection.records import Detections

FRAMES, HEIGHT, WIDTH, SIDE = 44, 96, 160, 24


def places(frame):
    """Two squares of one class that pass through one another, and one of another class that crosses their way."""
    x, y = 8 + 2.5 * frame, 4 + 1.5 * frame
    corners = torch.tensor([[x, 36.0], [WIDTH - SIDE - x, 40.0], [70.0, y]])
    return torch.cat([corners, corners + SIDE], 1), torch.tensor([0, 0, 1])


class Scripted:
    """Finds what `places` says of each frame in turn, but what is hidden, and lists it in another order each time."""

    class_names = ("car", "dog")

    def __init__(self):
        self._frames = itertools.cycle(range(FRAMES))

    def prepare(self, image):
        return next(self._frames)

    def detect(self, frames):
        boxes, labels = places(frames[0])
        scores = torch.tensor([0.5, 0.9, 0.7]) if frames[0] % 2 else torch.tensor([0.8, 0.6, 0.9])
        shown = nms(boxes + labels[:, None] * 1000.0, scores, 0.2)
        return [Detections(boxes[shown], scores[shown], labels[shown], (HEIGHT, WIDTH))]


@pytest.fixture
def call(tmp_path, monkeypatch):
    """call(video...): the status of `frcnn predict` with the scripted detector."""

    def scripted(args, device):
        args.least = 0.0
        return Scripted()

    monkeypatch.setattr(predict, "_detector", scripted)
    return lambda *words: main(["predict", *words, "--checkpoint=none", f"--output={tmp_path / 'out'}"])


def clip(path):
    with VideoFile(path, 10.0) as video:
        for _ in range(FRAMES):
            video.add(np.full((HEIGHT, WIDTH, 3), 99, np.uint8))
    return str(path)


def test_objects_keep_their_numbers_while_they_pass(call, tmp_path, capsys):
    files = [clip(tmp_path / name) for name in ("a.mp4", "b.mp4")]
    assert call(*files, "--track", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    for name in ("a", "b"):
        rows = [json.loads(line) for line in (tmp_path / "out" / f"{name}.jsonl").read_text().splitlines()]
        owners, hidden = {}, 0
        for frame, row in enumerate(rows):
            boxes = places(frame)[0].tolist()
            hidden += len(boxes) - len(row["detections"])
            for found in row["detections"]:
                owners.setdefault(boxes.index(found["box"]), set()).add(found["track"])
        assert len(rows) == FRAMES and hidden >= 3
        assert sorted(number for mine in owners.values() for number in mine) == [1, 2, 3], owners  # one each
        assert answer[str(tmp_path / f"{name}.mp4")]["objects"] == 3
    assert cv2.VideoCapture(str(tmp_path / "out" / "a.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == FRAMES


def test_the_number_is_drawn():
    image, box = np.full((200, 300, 3), 128, np.uint8), np.array([[50.0, 60.0, 250.0, 160.0]])
    drawn = [draw(image, box, np.array([0]), ["car"], np.array([0.9]), numbers) for numbers in ([], [1], [2])]
    assert all((a != b).any() for a, b in zip(drawn, (*drawn[1:], drawn[0])))


def test_what_is_no_video_and_what_is_not_installed(call, shapes, tmp_path, monkeypatch, capsys):
    assert call(str(shapes / "val"), "--track") == 2
    assert f"--track: follows objects through a video, and {shapes / 'val'} is none" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "norfair", None)
    assert call(clip(tmp_path / "a.mp4"), "--track") == 2
    assert 'pip install "frcnn-toolkit[track]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
