"""POST /predict: images as a form or as they are, and what is in them as JSON or as a picture."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from detection.predict.draw import draw
from detection.predict.output import encoded, to_records
from detection.serve.limits import Refused
from detection.serve.models import Found, ServedModel


class Refusal(BaseModel):
    """Why a request is not answered."""

    detail: str


class Detection(BaseModel):
    """box: x1, y1, x2, y2 in pixels of the image shown upright; class: its name; label: its place among the model's."""

    box: tuple[float, float, float, float]
    score: float
    name: str = Field(alias="class")
    label: int


class ImageAnswer(BaseModel):
    """size: height and width in pixels; seconds: of decode, wait and compute; batch: images computed together."""

    file: str
    size: tuple[int, int]
    detections: list[Detection]
    seconds: dict[str, float]
    batch: int


class Answers(BaseModel):
    """Of the images of a request, in its order."""

    model: str
    images: list[ImageAnswer]


REASONS = {
    400: "The body is not the multipart form that it says it is.",
    401: "The key is missing.",
    404: "There is no such model.",
    408: "The body comes too slowly.",
    413: "Too many bytes, pixels or images.",
    422: "No image, a damaged one, or an option that has no meaning.",
    503: "Too many images are waiting; Retry-After says when to come again.",
    504: "Not done in time.",
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": reason} for status, reason in REASONS.items()
}
FILE = {"type": "string", "format": "binary"}
FORM = {
    "type": "object",
    "properties": {"images": {"type": "array", "items": FILE, "minItems": 1}},
    "required": ["images"],
}
CONTENT: dict[str, Any] = {kind: {"schema": FILE} for kind in ("image/jpeg", "image/png", "application/octet-stream")}
BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}, **CONTENT}}}


def predict_route(models: Mapping[str, ServedModel], pool: Executor) -> APIRouter:
    router = APIRouter()

    @router.post(
        "/predict",
        summary="Detect objects in one image or several.",
        response_model=Answers,
        responses={200: {"content": {"image/jpeg": {"schema": FILE}}}, **REFUSALS},
        openapi_extra=BODY,
    )
    async def predict(
        request: Request,
        model: Annotated[str | None, Query(description="which; default the first")] = None,
        score: Annotated[float | None, Query(ge=0, le=1, description="the least; default that of the model")] = None,
        classes: Annotated[list[str] | None, Query(description="these alone; repeated for several")] = None,
        picture: Annotated[bool, Query(description="answer with the drawn image")] = False,
    ) -> Any:
        served = named(models, model)
        images = await _images(request, served.service.room)
        if picture and len(images) != 1:
            raise Refused(422, f"picture: takes one image at a time, not {len(images)}")
        found = await served.find(images, pool, score, classes or ())
        if picture:
            jpeg = await asyncio.wrap_future(pool.submit(_drawn, found[0], served.class_names))
            return Response(jpeg, media_type="image/jpeg")
        return JSONResponse({"model": served.name, "images": [_record(each, served.class_names) for each in found]})

    return router


def named(models: Mapping[str, ServedModel], name: str | None) -> ServedModel:
    """The model of that name, or the first. Raises `Refused`."""
    if name is None:
        return next(iter(models.values()))
    if name not in models:
        raise Refused(404, f"there is no model {name[:100]!r}; there are {', '.join(models)}")
    return models[name]


async def _images(request: Request, most: int) -> list[tuple[str, bytes]]:
    """Name and content of the files of a form, or of the body itself."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        images = [("image", await request.body())]
    else:
        try:
            form = await request.form(max_files=most, max_fields=most)
        except HTTPException as error:
            too_many = str(error.detail).startswith("Too many")
            raise Refused(413 if too_many else 400, f"the form cannot be read: {error.detail}") from error
        uploads = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        images = [(upload.filename or "image", await upload.read()) for upload in uploads]
        await form.close()
    if not any(content for _, content in images):
        raise Refused(422, "there is no image; send one as the body, or several as the files of a form")
    return images


def _record(found: Found, class_names: tuple[str, ...]) -> dict[str, Any]:
    seconds = {name: round(value, 6) for name, value in found.seconds.items()}
    return {**to_records(found.name, found.detections, class_names), "seconds": seconds, "batch": found.batch}


def _drawn(found: Found, class_names: tuple[str, ...]) -> bytes:
    own = found.detections
    return encoded(draw(found.pixels, own.boxes.numpy(), own.labels.numpy(), class_names, own.scores.numpy()))
