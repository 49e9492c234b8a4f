"""Objects in large images, on seams and across them, are found once; what lies apart stays apart."""

from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.cli.main import main
from detection.geometry.tiling import tile_places
from detection.predict.tiles import TiledDetector
from detection.records import Detections

SIZE = 400


@dataclass(frozen=True)
class Exact:
    """A detector that sees in its picture each patch of one colour, cut where the picture ends, if it is not too small;
    `sight`: the largest side of a picture in which it sees small things at all."""

    sight: int = 10**6
    class_names: tuple[str, ...] = ("a", "b")
    grey_bits: int = 16
    device = torch.device("cpu")

    def prepare(self, image):
        return image

    def detect(self, images):
        (image,) = images
        boxes, labels = [], []
        for colour in np.unique(image[..., 0]):
            if colour:
                ys, xs = np.nonzero(image[..., 0] == colour)
                box = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
                small = max(box[2] - box[0], box[3] - box[1]) < max(image.shape[:2]) / 6
                if max(image.shape[:2]) <= self.sight or not small:
                    boxes.append([float(edge) for edge in box])
                    labels.append(int(image[ys[0], xs[0], 1]))
        found = torch.tensor(boxes).reshape(-1, 4)
        scores = torch.linspace(0.9, 0.5, len(found))  # cut ones may score more than whole ones
        return [Detections(found, scores, torch.tensor(labels, dtype=torch.int64), image.shape[:2])]


def draw(objects):
    """Boxes x1 y1 x2 y2 label, each in a colour of its own, later ones on top."""
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    for number, (x1, y1, x2, y2, label) in enumerate(objects, start=1):
        image[y1:y2, x1:x2] = (number, label, 0)
    return image


def found(objects, tile=150, overlap=0.3, sight=10**6):
    detections = TiledDetector(Exact(sight), tile, overlap)([draw(objects)])[0]
    rows = zip(detections.boxes.round().int().tolist(), detections.labels.tolist())
    return sorted((*box, label) for box, label in rows)


CELLS = st.tuples(st.integers(0, 7), st.integers(0, 7), st.integers(0, 1))


@given(st.lists(CELLS, min_size=1, max_size=20, unique_by=lambda o: o[:2]), st.integers(0, 9), st.integers(8, 38))
@settings(max_examples=60, deadline=None)
def test_each_object_is_found_once_wherever_seams_are(cells, shift, side):
    """On a grid with room, smaller than the overlap of 45 pixels; the whole image shows none of them."""
    corners = [(x * 48 + shift, y * 48 + shift, label) for x, y, label in cells]
    objects = [(x, y, x + side, y + side, label) for x, y, label in corners]
    assert found(objects, sight=150) == sorted(objects)


def test_a_large_object_is_found_in_the_whole_image_alone():
    large, small = (20, 30, 380, 350, 0), (5, 5, 15, 15, 0)
    assert found([large, small], sight=150) == sorted([large, small])


def test_a_small_object_on_a_large_one_of_its_class_stays():
    assert found([(20, 30, 380, 350, 0), (60, 60, 70, 70, 0)], sight=150) == [
        (20, 30, 380, 350, 0),
        (60, 60, 70, 70, 0),
    ]


def test_classes_do_not_suppress_one_another():
    objects = [(100, 100, 140, 140, 0), (101, 101, 139, 140, 1)]
    assert len(found(objects, tile=400)) == 2


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(32, 900), st.floats(0, 0.8))
@settings(max_examples=100, deadline=None)
def test_tiles_cover_the_image_and_overlap_enough(height, width, tile, overlap):
    places = tile_places((height, width), tile, overlap)
    for side, axis in ((width, 0), (height, 1)):
        spans = sorted({(place[axis], place[axis + 2]) for place in places})
        assert spans[0][0] == 0 and spans[-1][1] == side
        assert all(end - start == min(tile, side) for start, end in spans)
        assert all(a[1] - b[0] >= overlap * tile - 1 for a, b in zip(spans, spans[1:]))


def test_refusals(trained, shapes, tmp_path, capsys):
    words = ["predict", str(shapes / "val"), f"--checkpoint={trained / 'best.pt'}", f"--output={tmp_path}"]
    for more, because in (
        (["--overlap=0.3"], "no effect without --tile"),
        (["--tile=48", "--overlap=0.9"], "at most 0.8"),
    ):
        assert main([*words, *more]) == 2
        assert because in capsys.readouterr().err
