"""Loading, training and evaluating from a program: arguments of all kinds, and what they leave behind."""

import signal
import threading
from pathlib import Path

import numpy as np
import pytest

import detection
from detection.engine.signals import Interrupted


@pytest.fixture
def train(tiny, shapes, tmp_path):
    settings = dict(option.removeprefix("--").split("=", 1) for option in tiny)

    def run(**changes):
        given = {"output": tmp_path / "run", "settings": settings | changes.pop("settings", {})} | changes
        return detection.train(shapes, **given)

    return run


def test_settings_may_be_numbers_of_numpy_tuples_and_paths(train):
    changes = {"train.iterations": np.int64(1), "train.lr": np.float32(0.5), "input.train_short_sides": (64,)}
    run = train(settings=changes, resume=False)
    assert run.config.train.iterations == 1 and run.config.train.lr == 0.5
    assert run.config.input.train_short_sides == [64]


def test_none_is_null_and_not_left_out(train):
    run = train(settings={"model.weights": None, "train.clip": None})
    assert run.config.model.weights is None and run.config.train.clip is None  # left out, both would be chosen


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda train: train(callbacks=[print]), "callbacks: .*; give a list of objects of detection.Callback"),
        (lambda train: train(callbacks=detection.Callback()), "callbacks: .*; give a list of objects of"),
        (lambda train: detection.train("shapes", settings=["train.lr"]), "settings: got list; give a dict"),
        (lambda train: train(settings={"train.lr": object()}), "object .* cannot be a setting"),
        (lambda train: train(folds=5), "folds: belongs to the command, `frcnn train --folds K`"),
        (lambda train: detection.load(None), "got NoneType; give the path of a best.pt or last.pt"),
        (lambda train: detection.load("x.pt", size=8), "size: 8 is not a number of pixels from 32 on"),
        (lambda train: detection.evaluate("x.pt", batch=0), "batch: 0 is not a whole number from 1 on"),
        (lambda train: detection.evaluate("x.pt", workers=-1), "workers: -1 is not a whole number from 0 on"),
        (lambda train: detection.evaluate(3), "got int; give the path of a best.pt or last.pt"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(train, call, message, tmp_path):
    with pytest.raises(detection.InputError, match=message) as refused:
        call(train)
    assert "\n" not in str(refused.value) and not list(tmp_path.iterdir())


class Fails(detection.Callback):
    def on_step(self, iteration):
        raise RuntimeError("a fault of the callback")


class Stops(detection.Callback):
    def on_step(self, iteration):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(("callback", "error"), [(Fails, RuntimeError), (Stops, Interrupted)])
def test_a_training_that_ends_early_leaves_the_process_as_it_was(train, callback, error, tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    threads = threading.active_count()
    with pytest.raises(error):
        train(callbacks=[callback()])
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert threading.active_count() == threads, "TensorBoard's writer has ended"
    assert not (tmp_path / "run/.lock").exists()
    assert train(resume=True).config.train.iterations == 2


def test_a_training_may_run_in_another_thread(train):
    found = []
    thread = threading.Thread(target=lambda: found.append(train()))
    thread.start()
    thread.join()
    assert found[0].metrics["AP"] >= 0 and found[0].detector.class_names


def test_the_folder_of_a_run_is_its_best_detector(trained, detector, photo):
    assert np.array_equal(detection.load(trained, device="cpu")(photo).boxes, detector(photo).boxes)


def test_a_file_of_another_kind_is_refused_without_advice_to_run_its_code(trained):
    with pytest.raises(detection.InputError, match="config.yaml: not a readable checkpoint .it is not what torch.save"):
        detection.load(Path(trained) / "config.yaml")
