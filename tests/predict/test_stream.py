"""Images are decoded ahead and finished behind, in order, and no failure is lost."""

import threading
import time

import pytest

from detection.data.image import read_image
from detection.errors import InputError
from detection.predict.stream import Decoder, Finisher


@pytest.fixture
def paths(shapes):
    return sorted((shapes / "train").iterdir())[:5]


def test_images_are_decoded_in_order_and_prepared(paths):
    batches = [paths[:2], paths[2:4], paths[4:]]
    found = list(Decoder(lambda pixels: pixels.shape, threads=2)(batches))
    assert [list(batch.paths) for batch in found] == batches
    for batch in found:
        for path, shape in zip(batch.paths, batch.inputs, strict=True):
            assert (batch.pixels[path] == read_image(path)).all() and batch.pixels[path].shape == shape
    assert list(Decoder(len, threads=1)([])) == []


def test_the_next_images_are_decoded_while_one_is_used(paths):
    started, used = threading.Event(), []

    def prepare(pixels):
        used.append(None)
        if len(used) == 3:
            started.set()
        return pixels

    stream = Decoder(prepare, threads=1)([[path] for path in paths])
    next(stream)
    assert started.wait(10), "the third image is not decoded while the first is used"
    stream.close()
    assert len(used) <= 4  # and what nobody will use is not


def test_an_unreadable_image_is_raised_or_left_out_and_named(paths, tmp_path):
    batches = [[paths[0], tmp_path / "nowhere.jpg"], [paths[1]]]
    with pytest.raises(InputError, match="nowhere.jpg"):
        list(Decoder(len, threads=2)(batches))
    first, second = Decoder(len, threads=2, skip=True)(batches)
    assert list(first.pixels) == [paths[0]] and len(first.inputs) == 1 and "nowhere.jpg" in first.skipped[0]
    assert list(second.pixels) == [paths[1]] and not second.skipped


def test_time_without_images_is_counted(paths):
    decoder = Decoder(lambda pixels: time.sleep(0.05), threads=1)
    list(decoder([[path] for path in paths]))
    assert 0.15 < decoder.waited <= decoder.elapsed


def test_everything_is_finished_in_order_at_the_end():
    done = []
    with Finisher() as finisher:
        for i in range(20):
            finisher.submit(done.append, i)
    assert done == list(range(20))


def test_a_failure_behind_is_raised_and_ends_what_follows():
    def fail():
        raise InputError("the disk is full")

    done = []
    with pytest.raises(InputError, match="disk is full"), Finisher() as finisher:
        finisher.submit(fail)
        for i in range(100):
            finisher.submit(done.append, i)
            time.sleep(0.001)
    assert len(done) < 100


def test_what_was_found_before_an_interruption_is_finished():
    done = []
    with pytest.raises(KeyboardInterrupt), Finisher() as finisher:
        for i in range(3):
            finisher.submit(lambda n: (time.sleep(0.01), done.append(n)), i)
        raise KeyboardInterrupt
    assert done == [0, 1, 2]
