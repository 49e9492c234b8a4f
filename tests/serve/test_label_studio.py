"""The example of a Label Studio backend, asked as Label Studio asks."""

import http.server
import importlib.util
import json
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import detection

EXAMPLE = Path(__file__).parents[2] / "examples" / "label_studio_backend.py"
CONFIG = """<View><Image name="picture" value="$photo"/><RectangleLabels name="boxes" toName="picture">
<Label value="circle"/><Label value="star"/></RectangleLabels></View>"""


@pytest.fixture
def backend(trained, shapes, monkeypatch):
    """Its address; Label Studio is a server with the images, which wants its key."""

    class Studio(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *given):
            super().__init__(*given, directory=str(shapes / "val"))

        def do_GET(self):
            return super().do_GET() if self.headers["Authorization"] == "Token secret" else self.send_error(401)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Studio) as studio:
        threading.Thread(target=studio.serve_forever, daemon=True).start()
        monkeypatch.setenv("LABEL_STUDIO_URL", f"http://127.0.0.1:{studio.server_port}")
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", "secret")
        found = importlib.util.spec_from_file_location("label_studio_backend", EXAMPLE)
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        with module.serve(detection.load(trained, "cpu"), 0) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()
        studio.shutdown()


def ask(address, content):
    with urllib.request.urlopen(urllib.request.Request(address, json.dumps(content).encode())) as answer:
        return json.load(answer)


def test_boxes_are_proposed_in_percent(backend, trained, shapes):
    with urllib.request.urlopen(f"{backend}/health") as answer:
        assert json.load(answer)["status"] == "UP"
    assert "model_version" in ask(f"{backend}/setup", {"project": "1"})
    image = next((shapes / "val").iterdir())
    asked = {"tasks": [{"id": 1, "data": {"photo": f"/{image.name}"}}], "label_config": CONFIG}
    (prediction,) = ask(f"{backend}/predict", asked)["results"]
    own = detection.load(trained, "cpu")(image)
    height, width = own.image.shape[:2]
    wanted = [k for k, name in enumerate(own.names) if name in ("circle", "star")]
    assert len(prediction["result"]) == len(wanted) > 0
    for region, k in zip(prediction["result"], wanted):
        x1, y1, x2, y2 = own.boxes[k].tolist()
        value = region["value"]
        expected = [100 * x1 / width, 100 * y1 / height, 100 * (x2 - x1) / width, 100 * (y2 - y1) / height]
        assert [value[side] for side in ("x", "y", "width", "height")] == pytest.approx(expected)
        assert (value["rectanglelabels"], region["from_name"], region["to_name"]) == (
            [own.names[k]],
            "boxes",
            "picture",
        )
    asked["tasks"][0]["data"]["photo"] = "/missing.png"
    with pytest.raises(urllib.error.HTTPError, match="422"):
        ask(f"{backend}/predict", asked)
