"""The Open Inference Protocol, version 2, which KServe and Triton speak, so that their clients can ask.

One input, `images`: UINT8 of shape (B, H, W, 3), RGB; or BYTES of shape (B,), the files of images, which JSON holds in
base64. Numbers may follow the JSON as they lie in memory (the extension for binary tensors). Outputs, in JSON, of the
detections of all images: `boxes` FP32 (N, 4), x1 y1 x2 y2 in pixels of the image, `scores` FP32 (N,), `labels` INT64
(N,), places among the classes, and `images` INT64 (N,), the place of the image in the request.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
from fastapi import APIRouter, Request

from detection import __version__
from detection.serve.limits import Refused
from detection.serve.models import Found, ServedModel
from detection.serve.predict_route import named

HEADER = "inference-header-content-length"
"""Of the JSON, where binary tensors follow it."""
INPUT = {"name": "images", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}
OUTPUTS = [
    {"name": "boxes", "datatype": "FP32", "shape": [-1, 4]},
    {"name": "scores", "datatype": "FP32", "shape": [-1]},
    {"name": "labels", "datatype": "INT64", "shape": [-1]},
    {"name": "images", "datatype": "INT64", "shape": [-1]},
]

Images = list[tuple[str, bytes | np.ndarray]]


def inference_routes(models: Mapping[str, ServedModel], pool: Executor) -> APIRouter:
    router = APIRouter(prefix="/v2", include_in_schema=False)

    @router.get("")
    async def server() -> dict[str, Any]:
        return {"name": "frcnn", "version": __version__, "extensions": ["binary_tensor_data"]}

    @router.get("/health/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @router.get("/health/ready")
    async def ready() -> dict[str, bool]:
        return {"ready": True}

    @router.get("/models/{model}/ready")
    async def model_ready(model: str) -> dict[str, Any]:
        return {"name": named(models, model).name, "ready": True}

    @router.get("/models/{model}")
    async def about(model: str) -> dict[str, Any]:
        platform = {"name": named(models, model).name, "versions": ["1"], "platform": "frcnn"}
        return {**platform, "inputs": [INPUT], "outputs": OUTPUTS}

    @router.post("/models/{model}/infer")
    async def infer(model: str, request: Request) -> dict[str, Any]:
        served = named(models, model)
        asked, images = _read(await request.body(), request.headers.get(HEADER))
        found = await served.find(images, pool, None, ())
        answer = {"model_name": served.name, "model_version": "1", "outputs": _outputs(found)}
        return answer | ({"id": asked["id"]} if "id" in asked else {})

    return router


def _read(body: bytes, length: str | None) -> tuple[dict[str, Any], Images]:
    """The request and its images. Raises `Refused`."""
    if length is not None and not (length.isascii() and length.isdecimal()):
        raise Refused(422, f"{HEADER}: is no number of bytes")
    end = len(body) if length is None else int(length)
    try:
        asked = json.loads(body[:end])
        (given,) = [each for each in asked["inputs"] if each["name"] == INPUT["name"]]
        kind, shape = given["datatype"], [int(side) for side in given["shape"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Refused(422, "the body must be JSON with `inputs`, and in it `images` with datatype and shape") from None
    if kind == "UINT8" and len(shape) == 4 and shape[3] == 3 and min(shape) > 0:
        return asked, _arrays(given, shape, body[end:])
    if kind == "BYTES" and len(shape) in (1, 2) and min(shape) > 0:
        return asked, _files(given, math.prod(shape), body[end:])
    raise Refused(422, f"images: takes UINT8 of (B, H, W, 3) or BYTES of (B,), not {kind!s:.20} of {shape!s:.60}")


def _arrays(given: Mapping[str, Any], shape: Sequence[int], binary: bytes) -> Images:
    count = math.prod(shape)
    if "data" not in given:
        flat = np.frombuffer(binary, np.uint8)
    else:
        try:
            flat = np.asarray(given["data"]).reshape(-1)
            if flat.dtype.kind not in "iu" or (flat.size and not 0 <= flat.min() <= flat.max() <= 255):
                raise ValueError
        except (ValueError, OverflowError):
            raise Refused(422, "images: `data` must be whole numbers from 0 to 255") from None
    if flat.size != count:
        raise Refused(422, f"images: the shape asks for {count} numbers, there are {flat.size}")
    return [(f"image {k}", each) for k, each in enumerate(flat.astype(np.uint8).reshape(shape))]


def _files(given: Mapping[str, Any], count: int, binary: bytes) -> Images:
    contents: list[bytes] = []
    try:
        if "data" in given:
            flat = np.asarray(given["data"], object).reshape(-1)
            contents = [base64.b64decode(text, validate=True) for text in flat]
        else:
            place = 0
            while place < len(binary):  # the length of each comes before it
                (size,) = struct.unpack_from("<I", binary, place)
                contents.append(binary[place + 4 : place + 4 + size])
                place += 4 + size
    except (binascii.Error, struct.error, ValueError, TypeError):
        raise Refused(422, "images: `data` must be files in base64, or binary with the length of each before") from None
    if len(contents) != count:
        raise Refused(422, f"images: the shape asks for {count} files, there are {len(contents)}")
    return [(f"image {k}", content) for k, content in enumerate(contents)]


def _outputs(found: Sequence[Found]) -> list[dict[str, Any]]:
    own = [each.detections for each in found]
    values = {
        "boxes": [side for each in own for side in each.boxes.flatten().tolist()],
        "scores": [score for each in own for score in each.scores.tolist()],
        "labels": [label for each in own for label in each.labels.tolist()],
        "images": [k for k, each in enumerate(own) for _ in range(len(each.scores))],
    }
    count = len(values["scores"])
    shaped = [{**output, "shape": [count, *output["shape"][1:]]} for output in OUTPUTS]
    return [{**output, "data": values[str(output["name"])]} for output in shaped]
