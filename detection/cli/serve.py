"""`frcnn serve`: detectors behind HTTP, for programs and for people."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from detection.cli.arguments import Parser, above_zero, at_least
from detection.errors import InputError

if TYPE_CHECKING:
    from detection.api.load import LoadedDetector

DESCRIPTION = """Serve detectors over HTTP. POST /predict takes an image as the body, or several as the files of a form,
and answers with JSON, or with ?picture=true with the drawn image; / is a page for people; /models, /health, /ready,
/metrics (Prometheus) and /openapi.json are what they say; /v2 speaks the inference protocol of KServe and Triton. It
listens on this machine alone unless --host says otherwise, and asks for a key where FRCNN_API_KEY is set. Ctrl+C or
SIGTERM end it when what was asked is answered."""
KEY = "FRCNN_API_KEY"


def main(arguments: list[str]) -> int:
    args = _parser().parse_args(arguments)
    try:
        import uvicorn

        from detection.serve.app import create_app
    except ModuleNotFoundError as error:
        raise InputError(f"serve needs the package {error.name}; pip install 'frcnn-toolkit[serve]'") from error
    from detection.serve.models import Service

    service = Service(
        batch=args.batch,
        wait=args.wait / 1000,
        room=args.queue,
        patience=args.timeout,
        most_bytes=args.max_megabytes << 20,
        most_pixels=args.max_megapixels * 10**6,
        key=_key(),
        origins=tuple(args.cors),
    )
    listening = _listen(args.host, args.port)
    detectors = _detectors(args.model, args.device, args.size)
    app = create_app(detectors, service)
    host, port = listening.getsockname()[:2]
    for name, each in detectors.items():
        print(f"{name}: {each}")
    print(f"serving at http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=int(args.timeout) + 1)
    uvicorn.Server(config).run(sockets=[listening])
    return 0


def _key() -> str | None:
    key = os.environ.get(KEY)
    if key is not None and not (key and key.isascii() and key.isprintable()):
        raise InputError(f"{KEY}: must be printable ASCII; unset it for a service without a key")
    return key


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=2048)
        # Connections inherit it. Without, the second half of an answer waits for the first to be acknowledged, which
        # clients put off for 40 ms; asyncio sets it on sockets of its own making alone.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        # The text of this error repeats the address; names that are not found have numbers below zero.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise InputError(f"{host}:{port}: cannot listen there ({reason}); give another --port or --host") from error


def _detectors(words: list[str], device: str, size: int | None) -> dict[str, LoadedDetector]:
    """By name: that before `=`, or that of the file or of the folder of the run."""
    import detection

    found: dict[str, LoadedDetector] = {}
    for word in words:
        name, given, path = word.partition("=") if not Path(word).exists() else ("", "", word)
        if not given:
            name, path = _name(Path(word)), word
        if not name or "/" in name or name in found:
            raise InputError(f"{word}: two models of one name, or none; give names: NAME={path}")
        found[name] = detection.load(path, device, size)
    return found


def _name(path: Path) -> str:
    of_a_run = path.name in ("best.pt", "last.pt", "best.onnx", "best.pt2")
    return path.resolve().parent.name if of_a_run else path.resolve().stem


def _parser() -> Parser:
    parser = Parser("frcnn serve", DESCRIPTION)
    add = parser.add_argument
    what = "best.pt, the folder of a run, an ONNX or .pt2 file, or NAME=PATH; the first answers where none is named"
    add("model", nargs="+", metavar="MODEL", help=what)
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for all")
    add("--port", type=int, default=8000, choices=range(65536), metavar="PORT", help="0 for any that is free")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    add("--size", type=at_least(32), help="input size in pixels; default as in training")
    add("--batch", type=at_least(1), default=1, help="images computed at once at most")
    add("--wait", type=above_zero, default=5.0, metavar="MS", help="milliseconds that an image waits for others")
    add("--queue", type=at_least(1), default=64, help="images of each model that may be waiting; more are refused")
    add("--timeout", type=above_zero, default=60.0, help="seconds until an answer, and between pieces of a request")
    add("--max-megabytes", type=at_least(1), default=32, help="of a request")
    add("--max-megapixels", type=at_least(1), default=50, help="of an image")
    add(
        "--cors",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="pages of this origin may ask, * for any; repeatable",
    )
    return parser
