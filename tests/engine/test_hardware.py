"""What the machine decides: precision by the GPU's age, loaders by the cores, batch and rate by the processes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from detection.automatic.choose import choose_settings
from detection.config.schema import DetectorTrainConfig
from detection.data.locate import locate
from detection.engine import hardware
from detection.engine.hardware import Hardware, fast_half, idle_gpus
from detection.engine.settings import check_device
from detection.errors import InputError

GPU = torch.device("cuda", 0)


@pytest.fixture
def turing(monkeypatch):
    """A machine with two GPUs that are older than bf16, as far as torch tells."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def chosen(index, machine):
    return {choice.key: choice.value for choice in choose_settings(index, machine, True)}


def test_a_gpu_before_ampere_computes_in_fp16_and_refuses_bf16(turing, monkeypatch):
    assert fast_half(GPU) == "fp16" and fast_half(torch.device("cpu")) == "off"
    with pytest.raises(InputError, match="Tesla T4 has no bf16 .* use fp16 or off"):
        check_device(DetectorTrainConfig(iterations=1, amp="bf16"), "frozen", "model.norm", GPU)
    check_device(DetectorTrainConfig(iterations=1, amp="fp16"), "frozen", "model.norm", GPU)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (8, 0))
    assert fast_half(GPU) == "bf16"


def test_precision_that_the_device_lacks_is_refused():
    mps, cpu = torch.device("mps"), torch.device("cpu")
    with pytest.raises(InputError, match="train.amp: fp16 is not supported on mps"):
        check_device(DetectorTrainConfig(iterations=1, amp="fp16"), "frozen", "model.norm", mps)
    with pytest.raises(InputError, match="train.tf32: true needs an NVIDIA GPU"):
        check_device(DetectorTrainConfig(iterations=1, tf32=True), "frozen", "model.norm", cpu)


def test_tf32_is_what_torch_then_multiplies_with(turing):
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        for wanted in (True, False):
            check_device(DetectorTrainConfig(iterations=1, tf32=wanted), "frozen", "model.norm", GPU)
            assert (torch.get_float32_matmul_precision() == "high") == wanted == torch.backends.cudnn.allow_tf32
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


@pytest.mark.parametrize(
    ("machine", "workers"),
    [
        (Hardware("cuda", cores=16), 8),
        (Hardware("cuda", cores=16, processes=4, local=4), 3),
        (Hardware("cuda", cores=4), 3),
        (Hardware("cuda", cores=1), 1),
        (Hardware("cpu", cores=64), 2),
        (Hardware("cpu", cores=1), 1),
    ],
)
def test_loaders_follow_the_cores_of_a_process(machine, workers):
    assert machine.workers() == workers


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_batch_and_rate_grow_with_the_processes_and_can_be_shared(shapes, processes):
    index = locate(shapes).read("train")  # of 6 images
    one, several = chosen(index, Hardware("cpu")), chosen(index, Hardware("cpu", processes=processes))
    assert several["train.batch"] % processes == 0
    assert several["train.lr"] == pytest.approx(one["train.lr"] * processes)
    fast = chosen(index, Hardware("cuda", "fp16", processes=processes))
    assert fast["train.amp"] == "fp16" and fast["train.tf32"] and fast["train.batch"] % processes == 0


def test_gpus_left_idle_are_told(turing, monkeypatch):
    assert idle_gpus(GPU) == ["this machine has 2 GPUs, of which this run uses one: --processes 2 uses all"]
    assert idle_gpus(torch.device("cpu")) == []
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert idle_gpus(GPU) == []


def test_given_loaders_are_used(monkeypatch):
    monkeypatch.setattr(hardware.parallel, "cores", lambda: 16)
    assert [hardware.loaders(given, torch.device("cpu")) for given in (None, 0, 5)] == [2, 0, 5]


def test_images_of_many_objects_get_as_many_detections(shapes):
    index = locate(shapes).read("train")
    assert "model.roi.detections" not in chosen(index, Hardware("cpu"))
    counts = np.diff(index.offsets) * 60
    columns = {k: np.repeat(v, 60, axis=0) for k, v in index._annotation_rows(slice(None)).items()}
    crowded = replace(index, offsets=np.concatenate([[0], np.cumsum(counts)]), **columns)
    assert counts.max() < chosen(crowded, Hardware("cpu"))["model.roi.detections"] <= counts.max() * 1.5
