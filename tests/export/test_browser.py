"""The ONNX file in a real browser, by onnxruntime-web from npm: `make test-slow`, since npm fetches 150 MB."""

import functools
import http.server
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from same_detections import assert_same

import detection
from detection.cli.main import main
from detection.data.image import read_image
from detection.records import Detections

EXAMPLE = Path(__file__).parents[2] / "examples" / "onnx_browser.html"


@pytest.fixture
def site(trained, shapes, tmp_path):
    """The folder of the example, served."""
    if shutil.which("npm") is None:
        pytest.skip("no npm to fetch onnxruntime-web with")
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "onnxruntime-web"]
    if subprocess.run(command, cwd=tmp_path, timeout=300).returncode:
        pytest.skip("npm does not fetch onnxruntime-web")
    for file in (tmp_path / "node_modules/onnxruntime-web/dist").glob("ort*wasm*"):
        shutil.copy(file, tmp_path)
    shutil.copy(EXAMPLE, tmp_path)
    words = ["--images", str(shapes / "val"), "--output", str(tmp_path / "best.onnx")]
    assert main(["export", "--checkpoint", str(trained / "best.pt"), *words]) == 0
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/onnx_browser.html"
        server.shutdown()


ASK = """
const [name, done] = arguments;
fetch(name).then(answer => answer.blob()).then(blob => detect(blob)).then(done, error => done(error.message));
"""


@pytest.mark.slow
def test_the_browser_finds_what_the_toolkit_finds(site, browser, trained, tmp_path):
    pytest.importorskip("onnxruntime")
    detector, random = detection.load(trained, "cpu"), np.random.default_rng(0)
    browser.get(site)
    browser.set_script_timeout(120)
    count = 0
    for k in range(20):
        height, width = (int(side) for side in random.integers(30, 200, 2))
        Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(tmp_path / f"{k}.png")
        found = browser.execute_async_script(ASK, f"{k}.png")
        expected = detector.serving([read_image(tmp_path / f"{k}.png")])[0]
        assert isinstance(found, list), found
        boxes = torch.tensor([each["box"] for each in found]).reshape(-1, 4)
        scores, labels = (torch.tensor([each[name] for each in found]) for name in ("score", "label"))
        assert_same(Detections(boxes, scores, labels, (height, width)), expected)
        count += len(found)
    assert count > 20
