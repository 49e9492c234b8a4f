"""The check of a device, on the CPU and in miniature: it runs to its end, and notices what is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.thorough

TOOLS = Path(__file__).parents[2] / "tools"


def test_the_quick_check_passes_on_the_cpu(tmp_path):
    command = [sys.executable, TOOLS / "gpu_check.py", "--device", "cpu", "--quick", "--results", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu_check.json").read_text())
    claims = " ".join(check["what"] for check in found["checks"])
    assert all(part in claims for part in ("losses", "gradients", "detections", "amp bf16: learns", "resumed"))
    page = (tmp_path / "gpu_check.md").read_text()
    assert "All checks passed." in page and "| fp32, compiled |" in page


def test_a_wrong_device_would_be_noticed(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import torch
    from gpu import parity

    from detection.model.faster_rcnn import FasterRCNN

    place = FasterRCNN.to

    def wrongly(self, *args, **kwargs):
        moved = place(self, *args, **kwargs)
        if args == (torch.device("cpu"),):
            moved.rpn.head.conv.weight.data.mul_(2)
        return moved

    monkeypatch.setattr(FasterRCNN, "to", wrongly)
    failed = [check.what for check in parity.compare(torch.device("cpu"), quick=True).checks if not check.passed]
    assert any("losses" in what for what in failed) and any("gradients" in what for what in failed)


def test_a_missing_gpu_is_one_line(tmp_path):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    command = [sys.executable, TOOLS / "gpu_check.py", "--results", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "sees no CUDA device" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
