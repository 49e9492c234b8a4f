"""`frcnn serve` as a process: real connections, real clients, a real browser."""

import http.client
import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from option_names import options_of
from PIL import Image

import detection
from detection.cli.main import main
from detection.cli.serve import _listen

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

PHOTO = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def process(trained):
    command = [
        sys.executable,
        "-m",
        "detection",
        "serve",
        f"cells={trained}",
        "--port=0",
        "--timeout=2",
        "--device=cpu",
    ]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = [started.stdout.readline(), started.stdout.readline()]
    yield started, re.fullmatch(r"serving at (http://127.0.0.1:\d+)\n", lines[1])[1]
    started.kill()
    started.communicate()


def png(pixels=PHOTO):
    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, "PNG")
    return memory.getvalue()


def connected(address):
    host, _, port = address.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def test_tritons_client(process, trained):
    triton = pytest.importorskip("tritonclient.http", reason="tritonclient (the extra `dev`) is not installed")
    client = triton.InferenceServerClient(process[1].removeprefix("http://"))
    assert client.is_server_ready() and client.is_model_ready("cells")
    loaded = detection.load(trained, "cpu")
    own = loaded.serving([PHOTO])[0].above(loaded.detector.thresholds or 0.0)
    for data, kind in ((PHOTO[None], "UINT8"), (np.array([png()], object), "BYTES")):
        given = triton.InferInput("images", data.shape, kind)
        given.set_data_from_numpy(data, binary_data=True)
        found = client.infer("cells", [given])
        assert found.as_numpy("boxes") == pytest.approx(own.boxes.numpy(), abs=1e-3)
        assert found.as_numpy("scores") == pytest.approx(own.scores.numpy(), abs=1e-6)
    client.close()


def test_the_client_of_the_examples(process, tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "b.png").write_bytes(b"rubbish")
    command = [sys.executable, "examples/client.py", process[1]]
    done = subprocess.run([*command, tmp_path / "a.png"], capture_output=True, text=True)
    assert done.returncode == 0 and re.match(rf"{tmp_path}/a.png [.\d]+ s\n  [.\d]+ \w+ ", done.stdout), done
    refused = subprocess.run([*command, tmp_path / "b.png"], capture_output=True, text=True)
    assert refused.returncode == 1 and refused.stderr.startswith(f"{tmp_path}/b.png: image: not an image")


def test_slow_and_broken_clients_do_not_keep_others_waiting(process):
    slow = connected(process[1])
    slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nxx")
    for broken in (b"\x16\x03\x01", b"POST /predict HTTP/1.1\r\nContent-Length: -3\r\n\r\n", b"GET / HTTP/9\r\n\r\n"):
        with connected(process[1]) as other:
            other.sendall(broken)
    began = time.monotonic()
    with urllib.request.urlopen(urllib.request.Request(f"{process[1]}/predict", png())) as answer:
        assert json.load(answer)["model"] == "cells" and time.monotonic() - began < 1.5
    assert b" 408 " in slow.recv(1000).split(b"\r\n")[0]
    slow.close()


def test_the_page(process, browser, tmp_path):
    By = pytest.importorskip("selenium.webdriver.common.by").By
    for k in range(2):
        Image.fromarray(PHOTO).save(tmp_path / f"{k}.png")
    browser.set_window_size(390, 800)
    # Images may be chosen before the page has its list of models.
    late = "const now = fetch; "
    late += "fetch = async (...given) => (await new Promise(go => setTimeout(go, 700)), now(...given));"
    slowed = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": late})
    browser.get(process[1])
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", slowed)
    browser.find_element(By.ID, "files").send_keys(f"{tmp_path / '0.png'}\n{tmp_path / '1.png'}")
    until = time.monotonic() + 20
    while "images done" not in browser.find_element(By.ID, "said").text and time.monotonic() < until:
        time.sleep(0.1)
    assert "2 images done" in browser.find_element(By.ID, "said").text
    set_score = "document.getElementById('score').value = arguments[0]; document.getElementById('score').oninput()"
    pixels = "return document.getElementById('canvas').toDataURL()"
    browser.execute_script(set_score, 1)
    empty = browser.execute_script(pixels)
    browser.execute_script(set_score, 0)
    full = browser.execute_script(pixels)
    assert full != empty and len(browser.find_elements(By.CSS_SELECTOR, "#thumbs button")) == 2
    while boxes := browser.find_elements(By.CSS_SELECTOR, "#classes input:checked"):
        browser.execute_script("arguments[0].click()", boxes[0])
    assert browser.execute_script(pixels) == empty
    width = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    assert width <= 0 and not [row for row in browser.get_log("browser") if row["level"] == "SEVERE"]


def test_every_option_arrives(trained, monkeypatch):
    import uvicorn

    from detection.serve import app

    seen = {}

    def create(detectors, service):
        return seen.update(vars(service), names=list(detectors), size=detectors["a"].detector.short_side)

    monkeypatch.setenv("FRCNN_API_KEY", "secret")
    monkeypatch.setattr(app, "create_app", create)
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: seen.update(at=sockets[0].getsockname()))
    options = {"--host": "127.0.0.2", "--port": "0", "--device": "cpu", "--size": "96", "--batch": "3", "--wait": "7"}
    options |= {"--queue": "9", "--timeout": "11", "--max-megabytes": "2", "--max-megapixels": "4", "--cors": "*"}
    with monkeypatch.context() as inner:
        assert {"model", *options} == options_of("serve", inner)
    words = [word for pair in options.items() for word in pair]
    assert main(["serve", f"a={trained}", f"b={trained / 'best.pt'}", *words]) == 0
    assert seen.pop("at")[0] == "127.0.0.2"
    limits = {"batch": 3, "wait": 0.007, "room": 9, "patience": 11.0, "most_bytes": 2 << 20, "most_pixels": 4 * 10**6}
    assert seen == {**limits, "key": "secret", "origins": ("*",), "names": ["a", "b"], "size": 96}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["{run}", "--port={port}"], "cannot listen there (Address already in use); give another --port"),
        (["missing.pt"], "missing.pt"),
        (["{run}", "{run}"], "two models of one name, or none; give names: NAME="),
        (["{run}", "--batch=0"], "--batch"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(trained, words, line, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        filled = [word.format(run=trained, port=taken.getsockname()[1]) for word in words]
        assert main(["serve", *filled, *(["--port=0"] if len(words) < 2 or "port" not in words[1] else [])]) == 2
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1, error


def test_what_was_asked_is_answered_before_the_service_ends(process):
    """The last of the file: the process is gone after it."""
    started, address = process
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
    large = png(np.random.default_rng(1).integers(0, 256, (2000, 2000, 3), dtype=np.uint8))
    answers = []

    def ask():
        connection.request("POST", "/predict", large)
        answers.append(connection.getresponse().status)

    asking = threading.Thread(target=ask)
    asking.start()
    while b"present{" not in (text := urllib.request.urlopen(f"{address}/metrics").read()) or b"} 1.0" not in text:
        time.sleep(0.001)
        if answers:
            break
    started.send_signal(signal.SIGTERM)
    asking.join(20)
    assert answers == [200]
    started.wait(10)
    with pytest.raises(OSError):
        connected(address)


def test_no_answer_waits_for_an_acknowledgement():
    with _listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
