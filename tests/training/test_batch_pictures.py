"""What a run shows of its training batches, and of each class."""

import csv
import shutil

import numpy as np
import torch
from PIL import Image

from detection.cli.main import main
from detection.predict.draw import GAP
from detection.records import Batch, Target
from detection.training.batch_pictures import batch_picture


def test_boxes_are_drawn_where_the_network_is_told_that_objects_are():
    images = torch.full((2, 3, 64, 96), 128, dtype=torch.uint8)
    none = torch.empty(0, 4)
    cat = Target(torch.tensor([[20.0, 10.0, 60.0, 50.0]]), torch.tensor([0]), none)
    empty = Target(none, torch.empty(0, dtype=torch.int64), none)
    picture = batch_picture(Batch(images, [(64, 96), (32, 48)], [(64, 96)] * 2, [0, 1], [cat, empty]), ["cat"])
    first = picture[GAP : GAP + 320, GAP : GAP + 480]  # five times as large
    rows, columns = np.nonzero(np.abs(first.astype(int) - 128).max(2) > 40)
    assert 90 < columns.min() < 110 and 285 < columns.max() < 305 and 245 < rows.max() < 265


def test_three_batches_and_ap_of_each_class_are_kept(shapes, tiny, tmp_path):
    run = tmp_path / "run"
    words = ["train", *tiny, f"--data={shapes}", f"--output={run}", "--evaluate.report=false"]
    assert main([*words, "--train.iterations=5", "--train.pictures=2"]) == 0
    pictures = sorted(path.name for path in (run / "batches").iterdir())
    assert pictures == ["1.jpg", "2.jpg", "3.jpg"]
    assert Image.open(run / "batches" / "1.jpg").size[0] > 480
    with (run / "results.csv").open() as table:
        assert (
            sum(name.startswith("AP_by_class/") for name in next(csv.DictReader(table))) >= 3
        )  # of the classes in the split
    shutil.rmtree(run / "batches")
    assert main(["train", f"--resume={run}", "--train.iterations=7", "--evaluate.report=false"]) == 0
    assert not (run / "batches").exists()  # the first batches are past
