"""Devices are taken as named or refused in a line, before anything is computed."""

import pytest
import torch

from detection import parallel
from detection.errors import InputError


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tpu9", "'tpu9' is not a device"),
        ("meta", "meta is not supported; use auto, cpu, cuda, cuda:N or mps"),
        ("xpu", "xpu is not supported"),
        ("cpu:3", "cpu:3 is not supported"),
        ("cuda", "sees no CUDA device; use cpu"),
        ("mps", "sees no Apple GPU; use cpu"),
    ],
)
def test_a_device_that_is_not_there_is_refused(name, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError, match=message):
        parallel.choose_device(name)
    assert parallel.choose_device("auto") == parallel.choose_device("cpu") == torch.device("cpu")


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def test_a_gpu_beyond_the_last_is_refused(two_gpus):
    with pytest.raises(InputError, match="cuda:7 asked for, but this machine has 2 GPUs, cuda:0 to cuda:1"):
        parallel.choose_device("cuda:7")


@pytest.mark.parametrize("name", ["auto", "cuda:1"])
def test_a_gpu_that_this_torch_has_no_code_for_is_refused(two_gpus, monkeypatch, name):
    def ones(*_, **__):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore lines")

    monkeypatch.setattr(torch, "ones", ones)
    with pytest.raises(InputError, match="cannot be used by torch .*: CUDA error: no kernel image .* device; use cpu$"):
        parallel.choose_device(name)


def test_each_process_takes_its_gpu_or_the_one_that_it_is_shown(monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert [parallel._gpu_of(process, 2) for process in (0, 1)] == [0, 1]
    with pytest.raises(InputError, match="process 2 of this machine has no GPU; it has 2"):
        parallel._gpu_of(2, 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")  # as Slurm's --gpus-per-task=1 has it
    assert parallel._gpu_of(1, 1) == 0
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with pytest.raises(InputError, match="2 processes on this machine, which has 1 GPU"):
        parallel._gpu_of(1, 1)
