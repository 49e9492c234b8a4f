"""Convolutions are right on every processor: oneDNN chooses other code with AVX2 than with AVX-512."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from backbones.convolution import convolve

AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}


@pytest.mark.parametrize("settings", [{}, AVX2], ids=["own", "avx2"])
def test_small_convolutions_equal_float64_and_leave_the_heap_alone(settings):
    if settings and torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("this processor has no AVX2")
    script = Path(__file__).with_name("convolution_sweep.py")
    root = Path(__file__).parents[2]
    environment = {**os.environ, **settings, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, f"status {done.returncode}: {done.stdout}{done.stderr}"
    assert not settings or done.stdout.startswith("AVX2")


@pytest.mark.parametrize(("inputs", "kernel", "stride"), [(8, 1, 2), (16, 1, 2), (8, 3, 2), (8, 1, 1)])
def test_only_the_shapes_at_fault_are_computed_otherwise(inputs, kernel, stride, monkeypatch):
    strides = []
    monkeypatch.setattr(torch.nn.functional, "conv2d", lambda x, w, b, stride, *rest: strides.append(stride))
    convolve(torch.zeros(1, inputs, 8, 8), nn.Conv2d(inputs, 4, kernel, stride, padding=kernel // 2))
    at_fault = (inputs, kernel, stride) == (8, 1, 2)
    assert strides == [(1, 1) if at_fault else (stride, stride)]
