"""The hub: what is pushed, and what an address gives; the hub is a server of the test."""

import hashlib
import http.server
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import detection
from detection.api.hub import fetch, write_model
from detection.errors import InputError

pytest.importorskip("safetensors")
hub = pytest.importorskip("huggingface_hub")


def test_what_is_pushed(trained, monkeypatch):
    sent = {}

    def upload(self, repo_id, folder_path, commit_message):
        sent.update({file.name: file.read_bytes() for file in Path(folder_path).iterdir()})

    monkeypatch.setattr(hub.HfApi, "create_repo", lambda self, name, private, exist_ok: sent.update({name: private}))
    monkeypatch.setattr(hub.HfApi, "upload_folder", upload)
    assert detection.push(trained, "user/shapes", licence="cc0-1.0") == "hf://user/shapes"
    assert sent["user/shapes"] is True and set(sent) == {"user/shapes", "model.safetensors", "README.md"}
    card = sent["README.md"].decode()
    assert card.startswith("---\nlibrary_name: ") and "license: cc0-1.0" in card and "| circle |" in card
    assert re.search(r"\d images, \d+ objects", card) and "| AP50 |" in card
    with pytest.raises(InputError, match="the name of a repository is user/name"):
        detection.push(trained, "shapes")

    def refused(*_, **__):
        raise OSError("no\ntoken")

    monkeypatch.setattr(hub.HfApi, "create_repo", refused)
    with pytest.raises(InputError, match=r"user/x: cannot be written \(no token\)"):
        detection.push(trained, "user/x")


def test_an_address_is_loaded(trained, shapes, tmp_path):
    write_model(trained, tmp_path)
    content = (tmp_path / "model.safetensors").read_bytes()

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            known = self.path == "/user/shapes/resolve/main/model.safetensors"
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", str(len(content)) if known else "0")
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.end_headers()
            return known

        def do_GET(self):
            if self.do_HEAD():
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    image = next((shapes / "val").iterdir())
    program = f"import detection; print(len(detection.load('hf://user/shapes', 'cpu')({str(image)!r})))"
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "cache")}
        environment = {**os.environ, **settings, "HF_HUB_DISABLE_XET": "1"}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
        assert done.stdout == f"{len(detection.load(trained, 'cpu')(image))}\n", done.stderr
        words = ["predict", str(image), "--checkpoint=hf://user/none", f"--output={tmp_path / 'found'}"]
        command = [sys.executable, "-m", "detection", *words]
        refused = subprocess.run(command, env=environment, capture_output=True, text=True)
        server.shutdown()
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1
    assert "hf://user/none: model.safetensors cannot be fetched" in refused.stderr
    with pytest.raises(InputError, match="an address on the hub is hf://user/name"):
        fetch("hf://user")
