"""A Label Studio ML backend: a detector proposes the boxes that annotators then correct.

LABEL_STUDIO_URL=http://localhost:8080 LABEL_STUDIO_API_KEY=... python examples/label_studio_backend.py runs/train 9090

In Label Studio add http://localhost:9090 under Settings, Model. The labels of the project's RectangleLabels that are
classes of the detector are proposed. To close the circle, export the corrected project as COCO or YOLO with images, and
train on it with `frcnn train --data EXPORT --weights runs/train/best.pt`.
"""

import json
import os
import sys
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from defusedxml import ElementTree

import detection

STUDIO, KEY = os.environ.get("LABEL_STUDIO_URL", "http://localhost:8080"), os.environ.get("LABEL_STUDIO_API_KEY")


def image_of(task: dict, key: str) -> bytes:
    """The image of a task, from Label Studio itself where the address is relative or its own."""
    address = urllib.parse.urljoin(STUDIO, task["data"][key])
    if not address.startswith(("http://", "https://")):
        raise ValueError(f"{address[:100]}: only http and https addresses are fetched")
    own = urllib.parse.urlsplit(address).netloc == urllib.parse.urlsplit(STUDIO).netloc
    request = urllib.request.Request(address, headers={"Authorization": f"Token {KEY}"} if own and KEY else {})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def proposals(detector: detection.LoadedDetector, asked: dict) -> list[dict]:
    """What the service answers for the tasks of a request: a prediction each, boxes in percent of the image."""
    config = ElementTree.fromstring(asked["label_config"])
    labels = config.find(".//RectangleLabels")
    to_name = labels.get("toName")
    key = next(each for each in config.iter("Image") if each.get("name") == to_name).get("value").removeprefix("$")
    wanted = {each.get("value") for each in labels.iter("Label")}
    found = []
    for task in asked["tasks"]:
        detected = detector(image_of(task, key))
        height, width = detected.image.shape[:2]
        regions = []
        for (x1, y1, x2, y2), name, score in zip(detected.boxes.tolist(), detected.names, detected.scores.tolist()):
            if name not in wanted:
                continue
            place = {"x": 100 * x1 / width, "y": 100 * y1 / height}
            size = {"width": 100 * (x2 - x1) / width, "height": 100 * (y2 - y1) / height}
            region = {"from_name": labels.get("name"), "to_name": to_name, "type": "rectanglelabels", "score": score}
            region |= {"original_width": width, "original_height": height, "image_rotation": 0}
            regions.append({**region, "value": {**place, **size, "rotation": 0, "rectanglelabels": [name]}})
        least = min((region["score"] for region in regions), default=0.0)  # the least sure first, when sorted by it
        found.append({"result": regions, "score": least, "model_version": f"frcnn {detection.__version__}"})
    return found


def serve(detector: detection.LoadedDetector, port: int) -> ThreadingHTTPServer:
    class Backend(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({"status": "UP", "model_class": "frcnn"})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
            if self.path != "/predict":  # /setup, and /webhook, which asks for nothing
                return self._answer({"model_version": f"frcnn {detection.__version__}"})
            try:
                self._answer({"results": proposals(detector, asked)})
            except (OSError, ValueError, LookupError, AttributeError) as error:
                self._answer({"detail": f"{type(error).__name__}: {error}"}, 422)

        def _answer(self, content: dict, status: int = 200) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return ThreadingHTTPServer(("127.0.0.1", port), Backend)


if __name__ == "__main__":
    serve(detection.load(sys.argv[1]), int(sys.argv[2])).serve_forever()
