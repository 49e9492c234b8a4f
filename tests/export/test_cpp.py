"""The ONNX file from C++: examples/onnx_cpp, built and run where the release package of ONNX Runtime is.

ONNXRUNTIME=/path/to/onnxruntime-linux-x64-1.22.0 pytest tests/export/test_cpp.py
"""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sure_detector import SIZES, picture, sure_detector

from detection.export.onnx_file import write_onnx

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

EXAMPLE = Path(__file__).parents[2] / "examples" / "onnx_cpp"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    package = os.environ.get("ONNXRUNTIME")
    if package is None or shutil.which("cmake") is None or shutil.which("c++") is None:
        pytest.skip("needs cmake, a C++ compiler and ONNXRUNTIME, the folder of a release package of ONNX Runtime")
    build = tmp_path_factory.mktemp("cpp")
    flags = f"-DONNXRUNTIME={package}", "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror"
    subprocess.run(["cmake", "-S", EXAMPLE, "-B", build, *flags], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", build], check=True, capture_output=True)
    return build / "detect"


def run(program, *words):
    return subprocess.run([program, *map(str, words)], capture_output=True, text=True, check=False)


def test_it_finds_what_the_toolkit_finds(program, tmp_path):
    detector = sure_detector("fpn")
    Image.fromarray(picture((70, 96))).save(tmp_path / "example.png")
    example = [tmp_path / "example.png"]
    write_onnx(detector, tmp_path / "any.onnx", example)
    write_onnx(detector, tmp_path / "fixed.onnx", example, nchw=True, fixed=(70, 96))
    count = 0
    for seed, size in enumerate([(70, 96), *SIZES]):
        Image.fromarray(picture(size, seed)).save(tmp_path / "a.ppm")
        expected = detector([picture(size, seed)])[0].above(0.3)
        for name in ("any", "fixed") if size == (70, 96) else ("any",):
            told = run(program, tmp_path / f"{name}.onnx", tmp_path / "a.ppm", 0.3)
            lines = [line.split() for line in told.stdout.splitlines()]
            assert told.returncode == 0 and len(lines) == len(expected.boxes), told.stderr
            assert np.allclose([float(line[1]) for line in lines], expected.scores, atol=1e-3)
            for label, box in zip(expected.labels, expected.boxes.numpy()):
                own = [np.array(line[2:], float) for line in lines if line[0] == detector.class_names[label]]
                assert min(np.abs(each - box).max() for each in own) < 0.5
        count += len(expected.boxes)
    assert count > 50
    (tmp_path / "b.ppm").write_bytes(b"P6 4 4 255\n123")
    for file, because in (("b.ppm", "ends too early"), ("example.png", "not a binary PPM")):
        told = run(program, tmp_path / "any.onnx", tmp_path / file)
        assert told.returncode == 2 and because in told.stderr
