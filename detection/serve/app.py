"""The service: detectors behind HTTP, for programs and for people."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from detection import __version__
from detection.api.load import LoadedDetector
from detection.parallel import cores
from detection.serve.inference_protocol import inference_routes
from detection.serve.limits import Limits, Refused
from detection.serve.models import ServedModel, Service
from detection.serve.numbers import Numbers
from detection.serve.predict_route import predict_route

RETRY_AFTER = "1"
"""Seconds after which a full service is worth another try."""
DECODERS = 8


def create_app(detectors: Mapping[str, LoadedDetector], service: Service) -> FastAPI:
    """The service of detectors by their names, the first of which answers where no name is given."""
    numbers = Numbers()
    models = {name: ServedModel(name, each, service, numbers.told(name)) for name, each in detectors.items()}
    for name, model in models.items():
        numbers.watch(name, model.batcher)
    pool = ThreadPoolExecutor(max(2, min(cores(), DECODERS)))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        for model in models.values():
            model.batcher.close()
        pool.shutdown()

    # The pages of FastAPI's documentation fetch their scripts from elsewhere; /openapi.json is there.
    app = FastAPI(title="frcnn", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.include_router(predict_route(models, pool))
    app.include_router(inference_routes(models, pool))
    _add_status(app, models, numbers)
    _add_refusals(app)
    app.add_middleware(Limits, most=service.most_bytes, patience=service.patience, key=service.key)
    if service.origins:
        app.add_middleware(CORSMiddleware, allow_origins=service.origins, allow_methods=["*"], allow_headers=["*"])
    app.add_middleware(Counting, numbers=numbers)
    return app


def _add_status(app: FastAPI, models: Mapping[str, ServedModel], numbers: Numbers) -> None:
    page = (files("detection.serve") / "page.html").read_text(encoding="utf-8")

    @app.get("/", include_in_schema=False)
    async def for_people() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/health", summary="Whether the service lives.")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/ready", summary="Whether it takes images.")
    async def ready() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/models", summary="What is served, the model that answers by default first.")
    async def served() -> list[dict[str, Any]]:
        return [_about(model) for model in models.values()]

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(numbers.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _about(model: ServedModel) -> dict[str, Any]:
    detector = model.loaded.detector
    thresholds = detector.thresholds
    return {
        "name": model.name,
        "classes": list(model.class_names),
        "thresholds": None if thresholds is None else [round(float(each), 6) for each in thresholds],
        "short_side": detector.short_side,
        "long_side": detector.long_side,
        "tile": model.loaded.config.input.tile,
        "device": str(detector.device),
    }


def _add_refusals(app: FastAPI) -> None:
    """Every refusal is one line: `detail`, or `error` where the inference protocol says so."""

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        return _line(request, error.status, error.text)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> JSONResponse:
        return _line(request, 400, "the caller has gone")  # which nobody reads, but the log of failures stays short

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        return _line(request, error.status_code, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return _line(request, 422, f"{first['loc'][-1]}: {first['msg']}")

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return _line(request, 500, "the service failed; its log says why")


def _line(request: Request, status: int, text: str, headers: dict[str, str] | None = None) -> JSONResponse:
    headers = (headers or {}) | ({"Retry-After": RETRY_AFTER} if status == 503 else {})
    name = "error" if request.url.path.startswith("/v2") else "detail"
    return JSONResponse({name: " ".join(text.split())}, status, headers)


class Counting:
    """An ASGI layer that tells how each request ended."""

    def __init__(self, app: ASGIApp, numbers: Numbers) -> None:
        self.app, self.numbers = app, numbers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, began = 500, time.monotonic()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            path = getattr(scope.get("route"), "path", "none of ours")
            self.numbers.answered(path, status, time.monotonic() - began)
