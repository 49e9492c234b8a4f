"""--batch auto: the largest batch that memory takes, and what follows from it; left alone where there is no GPU."""

from __future__ import annotations

import pytest
import torch

from detection.automatic import configure as configuring
from detection.automatic.batch import largest_batch, step_memory
from detection.automatic.configure import configure, fit_to_data
from detection.config.command_line import CommandLine
from detection.config.read import read_config
from detection.config.schema import Config
from detection.data.coco import read_coco
from detection.errors import InputError

GPU = torch.device("cuda", 0)


def line_of(*words):
    return CommandLine.read([*words], Config)


@pytest.mark.parametrize(("room", "most", "wanted"), [(100, 99, 8), (58, 99, 4), (1000, 20, 16), (13, 99, 1)])
def test_the_largest_batch_is_found_without_trying_what_cannot_fit(room, most, wanted):
    tried = []

    def measure(images):
        tried.append(images)
        return 3 + 10 * images

    assert largest_batch(measure, room, most) == (wanted, 3 + 10 * wanted)
    assert max(tried) <= max(2 * wanted, 2) and (max(tried) == wanted or wanted < 4)


def test_memory_that_runs_out_is_an_answer_and_too_little_of_it_an_error():
    assert largest_batch(lambda images: 10 * images if images < 4 else None, 1000, 64) == (2, 20)
    with pytest.raises(InputError, match="not even one image fits"):
        largest_batch(lambda images: None, 1000, 64)


def test_a_step_of_the_very_model_is_measured(shapes, tiny):
    config = read_config([*tiny, f"--data={shapes}"], Config)
    index = read_coco(shapes / "annotations" / "instances_train.json", shapes / "train")
    assert (step_memory(config, index, torch.device("cpu"))(3) or 0) > 1 << 20


@pytest.fixture
def gpu(monkeypatch):
    """A GPU that has memory for 16 images."""
    monkeypatch.setattr(configuring, "choose_device", lambda name: GPU)
    monkeypatch.setattr(configuring.Hardware, "of", lambda device: configuring.Hardware("cuda", "bf16"))
    monkeypatch.setattr(configuring, "check_device", lambda *_: None)
    monkeypatch.setattr(configuring, "measured_batch", lambda *_: (16, "takes 9.0 GiB, as measured"))


def test_rate_and_length_follow_the_measured_batch(shapes, gpu):
    usual, fitted = (fit_to_data(line_of(f"--data={shapes}", *more)) for more in (["--batch=8"], ["--batch", "auto"]))
    assert fitted.config.train.batch == 16
    assert fitted.config.train.lr == pytest.approx(2 * usual.config.train.lr)
    assert fitted.config.train.iterations == usual.config.train.iterations // 2
    assert next(each for each in fitted.settings if each.key == "train.batch").why == "takes 9.0 GiB, as measured"
    assert "--batch auto: 16, which takes 9.0 GiB" in fitted.lines[-1]


def test_a_config_keeps_its_rate_an_image(shapes, tiny, gpu, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("train: {batch: 4, lr: 0.01, iterations: 5}\n")
    made = configure(line_of(f"--config={file}", f"--data={shapes}", "--batch=auto"))
    assert (made.config.train.batch, made.config.train.lr) == (16, pytest.approx(0.04))
    assert made.origins["train.batch"].origin == "chosen" and "0.01 -> 0.04" in made.lines[0]
    made = configure(line_of(f"--config={file}", f"--data={shapes}", "--batch=auto", "--lr=0.02"))
    assert (made.config.train.batch, made.config.train.lr) == (16, 0.02)


def test_without_a_gpu_the_batch_stays_and_that_is_told(shapes, tiny):
    plain = fit_to_data(line_of(f"--data={shapes}", "--device=cpu"))
    fitted = fit_to_data(line_of(f"--data={shapes}", "--device=cpu", "--batch=auto"))
    assert fitted.config == plain.config
    assert fitted.lines[-1] == "--batch auto: measures the memory of an NVIDIA GPU; on cpu it stays 2"
    assert line_of("--batch=auto", "--batch=3").given == {"train.batch": "3"}
    assert line_of("--batch=auto", "--dry-run").all_words == ["--dry-run", "--batch=auto"]
