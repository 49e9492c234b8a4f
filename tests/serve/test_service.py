"""The service in one process: what it answers, and what it refuses in one line."""

import base64
import io
import json
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from PIL import Image

import detection
from detection.predict.output import to_records
from detection.serve.batching import Batcher, Overloaded

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
from starlette.testclient import TestClient

from detection.serve.app import create_app
from detection.serve.models import Service

PHOTO = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)


def file_of(pixels=PHOTO, form="PNG", **options):
    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, form, **options)
    return memory.getvalue()


@pytest.fixture(scope="module")
def detector(trained):
    return detection.load(trained, "cpu")


@pytest.fixture(scope="module")
def clients(detector):
    """A client by the service's settings; all are closed at the end."""
    opened = []

    def client(**changes):
        # Two names of one detector, as if there were two.
        app = create_app({"shapes": detector, "other": detector}, replace(Service(most_pixels=10**6), **changes))
        opened.append(TestClient(app, raise_server_exceptions=False).__enter__())
        return opened[-1]

    yield client
    for each in opened:
        each.__exit__(None, None, None)


@pytest.fixture(scope="module")
def client(clients):
    return clients()


def expected(detector, pixels=PHOTO, score=0.0):
    found = detector.serving([pixels])[0]
    return to_records(
        "x", found.above(detector.detector.thresholds or 0 if score is None else score), detector.class_names
    )


def test_detections_are_those_of_the_detector(client, detector):
    own = expected(detector)
    assert own["detections"]
    answer = client.post("/predict", content=file_of()).json()
    assert answer["model"] == "shapes" and answer["images"][0]["detections"] == own["detections"]
    assert answer["images"][0]["size"] == [90, 70] and answer["images"][0]["batch"] == 1
    assert set(answer["images"][0]["seconds"]) == {"decode", "wait", "compute"}
    form = [("images", (name, file_of(), "image/png")) for name in ("a.png", "b.png")]
    several = client.post("/predict?model=other", files=form).json()
    assert several["model"] == "other" and [each["file"] for each in several["images"]] == ["a.png", "b.png"]
    assert all(each["detections"] == own["detections"] for each in several["images"])


def test_scores_and_classes_are_chosen_by_the_request(client, detector):
    everything = expected(detector)["detections"]
    least = everything[len(everything) // 2]["score"]
    own = expected(detector, score=least)["detections"]
    name = own[0]["class"]
    assert 0 < len(own) < len(everything)
    answer = client.post("/predict", params={"score": least, "classes": [name]}, content=file_of()).json()
    assert answer["images"][0]["detections"] == [each for each in own if each["class"] == name]
    drawn = client.post("/predict?picture=true", content=file_of())
    assert drawn.headers["content-type"] == "image/jpeg" and Image.open(io.BytesIO(drawn.content)).size == (70, 90)


@pytest.mark.parametrize(
    ("status", "words", "options"),
    [
        (422, "image: not an image that Pillow can read", {"content": b"no image"}),
        (422, "image: ", {"content": file_of()[:700]}),
        (422, "there is no image", {"content": b""}),
        (422, "there is no image", {"files": {"images": (None, "text")}}),
        (400, "the form cannot be read", {"content": b"x", "headers": {"content-type": "multipart/form-data"}}),
        (422, "classes: there is no 'cat'; there are circle", {"content": file_of(), "params": {"classes": "cat"}}),
        (422, "score: ", {"content": file_of(), "params": {"score": 2}}),
        (404, "there is no model 'x'; there are shapes, other", {"content": file_of(), "params": {"model": "x"}}),
        (413, "1100x1100 pixels; at most 1000000", {"content": file_of(np.zeros((1100, 1100, 3), np.uint8))}),
        (413, "Maximum number of files is 2", {"files": [("i", file_of())] * 3}),
        (422, "takes one image", {"files": [("i", file_of())] * 2, "params": {"picture": True}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_requests_are_answered_in_one_line(clients, status, words, options):
    answer = clients(room=2).post("/predict", **options)
    line = answer.json()["detail"]
    assert answer.status_code == status and words in line and "\n" not in line, answer.text


def test_a_picture_that_unpacks_into_gigabytes_is_not_unpacked(client):
    """10,000 times 10,000 grey pixels in 100 kB, and a header that states more than there can be."""
    bomb = file_of(np.zeros((10_000, 10_000), np.uint8))
    claim = (
        bomb[:16]
        + (60_000).to_bytes(4, "big") * 2
        + bomb[24:29]
        + zlib.crc32(b"IHDR" + (60_000).to_bytes(4, "big") * 2 + bomb[24:29]).to_bytes(4, "big")
        + bomb[33:]
    )
    began = time.monotonic()
    for content in (bomb, claim):
        assert client.post("/predict", content=content).status_code in (413, 422)
    assert len(bomb) < 200_000 and time.monotonic() - began < 1


def test_large_bodies_are_refused_before_they_are_read(clients):
    small = clients(most_bytes=1000)
    assert small.post("/predict", content=bytes(2000)).status_code == 413
    pieces = (bytes(600) for _ in range(3))  # without a length that could be looked at
    answer = small.post("/predict", content=pieces)
    assert answer.status_code == 413 and "more than 1000 bytes" in answer.json()["detail"]


def test_a_key_is_asked_for_where_there_is_one(clients):
    locked = clients(key="secret")
    assert locked.get("/").status_code == locked.get("/health").status_code == 200
    assert locked.get("/models").status_code == locked.post("/predict", content=file_of()).status_code == 401
    assert locked.get("/models", headers={"X-API-Key": "secret"}).status_code == 200
    assert locked.get("/models", headers={"Authorization": "Bearer secret"}).status_code == 200


def test_pages_of_other_origins_ask_where_they_may(clients):
    origin = {"Origin": "https://a.example"}
    assert "access-control-allow-origin" not in clients().get("/models", headers=origin).headers
    allowed = clients(origins=("https://a.example",), key="secret").options(
        "/predict", headers={**origin, "Access-Control-Request-Method": "POST"}
    )
    assert allowed.headers["access-control-allow-origin"] == "https://a.example"


class Slow:
    """A detector that computes when it is let."""

    grey_bits, device = 16, "cpu"

    def __init__(self):
        self.gate, self.batches = threading.Event(), []

    def prepare(self, image):
        return image

    def detect(self, images):
        assert self.gate.wait(10)
        self.batches.append(len(images))
        if any(image is None for image in images):
            raise RuntimeError("bad")
        return images


def test_images_that_wait_together_are_computed_together():
    slow = Slow()
    batcher = Batcher(slow, batch=4, wait=0.05, room=8)
    batcher.admit(8)
    with pytest.raises(Overloaded):
        batcher.admit(1)
    first = batcher.submit(0)
    time.sleep(0.2)
    answers = [batcher.submit(k) for k in range(1, 7)]
    answers[1].cancel()  # its caller has gone
    slow.gate.set()
    assert first.result(10).found == 0 and first.result().batch == 1
    assert [answer.result(10).found for answer in answers if not answer.cancelled()] == [1, 3, 4, 5, 6]
    assert slow.batches == [1, 3, 2]
    failed = batcher.submit(None)
    with pytest.raises(RuntimeError, match="bad"):
        failed.result(10)
    batcher.release(8)
    last = [batcher.submit(k) for k in range(3)]
    batcher.close()
    assert [answer.result(0).found for answer in last] == [0, 1, 2]
    with pytest.raises(Overloaded):
        batcher.admit(1)


def test_a_full_service_says_when_to_come_again_and_a_slow_one_gives_up(clients, detector):
    slow = Slow()
    served = replace(detector, serving=slow)
    with TestClient(
        create_app({"slow": served}, Service(room=2, patience=1.0)), raise_server_exceptions=False
    ) as client:
        with ThreadPoolExecutor(5) as pool:
            answers = list(pool.map(lambda _: client.post("/predict", content=file_of()), range(5)))
        codes = sorted(answer.status_code for answer in answers)
        assert codes == [503, 503, 503, 504, 504]
        full = next(answer for answer in answers if answer.status_code == 503)
        assert full.headers["retry-after"] == "1" and "2 images are waiting" in full.json()["detail"]
        slow.gate.set()


def test_what_was_done_is_counted(client):
    client.post("/predict", content=file_of())
    client.post("/predict", content=b"")
    text = client.get("/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(lines['frcnn_requests_total{path="/predict",status="200"}']) >= 1
    assert float(lines['frcnn_requests_total{path="/predict",status="422"}']) >= 1
    assert float(lines['frcnn_images_total{model="shapes"}']) >= 1
    assert float(lines['frcnn_images_present{model="shapes"}']) == 0


def test_the_inference_protocol(client, detector):
    about = client.get("/v2/models/shapes").json()
    assert about["inputs"][0]["name"] == "images" and client.get("/v2/health/ready").json() == {"ready": True}
    own = expected(detector)["detections"]
    files = {"name": "images", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(file_of()).decode()]}
    pixels = {"name": "images", "datatype": "UINT8", "shape": [1, *PHOTO.shape], "data": PHOTO.tolist()}
    for images in (files, pixels):
        answer = client.post("/v2/models/shapes/infer", json={"id": "7", "inputs": [images]}).json()
        outputs = {each["name"]: np.reshape(each["data"], each["shape"]) for each in answer["outputs"]}
        assert answer["id"] == "7" and outputs["labels"].tolist() == [each["label"] for each in own]
        assert outputs["boxes"] == pytest.approx(np.array([each["box"] for each in own]), abs=1e-3)
    for wrong in (
        {},
        [],
        {"inputs": 1},
        {"inputs": [{**pixels, "shape": [1, 2, 2, 3]}]},
        {"inputs": [{**files, "data": ["?"]}]},
    ):
        refused = client.post("/v2/models/shapes/infer", content=json.dumps(wrong))
        assert refused.status_code == 422 and "\n" not in refused.json()["error"]


def test_requests_that_the_schema_allows_and_others_find_no_fault(detector):
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis (the extra `dev`) is not installed")
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    schema = schemathesis.openapi.from_asgi("/openapi.json", create_app({"shapes": detector}, Service()))
    operations = [found.ok() for found in schema.get_all_operations()]
    assert {operation.path for operation in operations} == {"/predict", "/models", "/health", "/ready"}
    for operation in operations:

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        @given(case=operation.as_strategy())
        def fuzz(case):
            # A schema can't say that bytes are an image.
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        fuzz()
