"""A whole detector of images of one size as one model of OpenVINO: NAME.xml, and NAME.bin with the weights.

It is converted from the ONNX file of that size. Of the one for any size OpenVINO's plugin for processors believes that
products inside may become as large as numbers do, and fails to take the memory. Its metadata lie in the model's runtime
information under `frcnn`, as JSON, and are those of the ONNX file.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from detection.errors import InputError
from detection.export.graph_detector import GraphDetector, Tiles, describe, fitting, least_scores
from detection.export.onnx_file import build_graph
from detection.export.openvino import Requests, compiled, require
from detection.export.parity import Parity, compare
from detection.predict.detector import Detector
from detection.records import Size

ABOUT = "frcnn"


def write_openvino(
    detector: Detector,
    output: Path,
    images: Sequence[Path],
    precision: str,
    nchw: bool,
    licence: str | None,
    tiles: Tiles | None,
    fixed: Size,
) -> Parity:
    """Write the detector of images of size `fixed` into the new file `output` and the .bin beside it, held against
    torch on some of the images. precision: fp32 or int8, which takes its ranges from all of them.

    Raises `InputError` where a file exists, a library is missing, or no image has the size.
    """
    openvino = require("openvino")
    if output.suffix != ".xml":
        raise InputError(f"--output {output}: give a name that ends in .xml")
    for path in (output, output.with_suffix(".bin")):
        if path.exists():
            raise InputError(f"{path}: exists already; give another file with --output")
    images, least = fitting(images, fixed), least_scores(detector)
    graph = build_graph(detector, images, precision, nchw, fixed)
    for at, held in enumerate(graph.graph.initializer):
        if held.name == "thresholds":  # with a default they would be no input for OpenVINO
            del graph.graph.initializer[at]
            break
    about = describe(detector, precision, nchw, licence, tiles, fixed)
    draft = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        draft.mkdir(parents=True)
        (draft / "graph.onnx").write_bytes(graph.SerializeToString())
        model = openvino.convert_model(draft / "graph.onnx")
        found = GraphDetector.of(_runner(model, least), ".xml", about, "the model").finding(min(least))
        parity = compare(detector.finding(min(least)).served(), found, images[:8])
        model.set_rt_info(json.dumps({**about, "parity": json.dumps(asdict(parity))}), [ABOUT])
        openvino.save_model(model, draft / output.name, compress_to_fp16=False)
        for name in (output.with_suffix(".bin").name, output.name):  # who sees the .xml finds the other
            os.replace(draft / name, output.with_name(name))
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error.strerror}); give a path in a writable folder") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return parity


def _runner(model: Any, least: Sequence[float]) -> Any:
    own, requests = np.array(least, np.float32), Requests(compiled(model, "f32"))
    return lambda images, thresholds: requests(images, own if thresholds is None else thresholds)


def read_openvino(path: Path) -> GraphDetector:
    """The detector of a file. Raises `InputError` where it is none of ours, or cannot be read."""
    openvino = require("openvino")
    for each in (path, path.with_suffix(".bin")):
        if not each.is_file():
            raise InputError(f"{each}: there is no such file")
    try:
        model = openvino.Core().read_model(path)
        about = json.loads(model.get_rt_info([ABOUT]).astype(str)) if model.has_rt_info([ABOUT]) else {}
        least = tuple(map(float, json.loads(about["thresholds"])))
        run = _runner(model, least)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no detector of `frcnn export`: its metadata lacks {error}") from error
    except RuntimeError as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: not a graph that OpenVINO reads ({line}); export again") from error
    return GraphDetector.of(run, ".xml", about, str(path))
