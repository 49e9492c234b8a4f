"""What a detector costs an image: weights, multiply-adds, time."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from detection.config.schema import Config
from detection.data.image import read_image, resize_size
from detection.data.index import AnnotationIndex
from detection.errors import InputError
from detection.evaluation.compare import Cost
from detection.loading.detectors import load_detector
from detection.model.build import build_model
from detection.records import Batch

WARM_UP = 2
"""images before the clock runs: kernels are chosen and memory is taken in the first"""

NO_WEIGHTS = (".running_mean", ".running_var", ".num_batches_tracked", "pixel_mean", "pixel_std")


def detector_cost(config: Config, classes: int, index: AnnotationIndex) -> Cost:
    """The cost of one image of the split's median height and width at the test size of `config`.

    Counted are the convolutions and linear layers of backbone, neck, RPN and second stage, the latter for all
    `test_after_nms` proposals that an image may have, in one plain pass: what box refinement or several scales add at
    test time is not. Shapes alone are computed, on torch's meta device.
    """
    with torch.device("meta"):
        model = build_model(config.model, classes).eval()
    median = np.median(index.sizes, axis=0) if len(index) else np.array([config.input.test_short_side] * 2)
    size = resize_size((int(median[0]), int(median[1])), config.input.test_short_side, config.input.long_side)
    regions = config.model.rpn.test_after_nms
    image = torch.zeros((1, 3, *size), dtype=torch.uint8, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        maps = model.maps(Batch(image, [size], [size], [0]))
        model.rpn.head(maps)
        stage = model.roi_stage
        side = stage.pooler.size
        pooled = regions + int(stage.context)  # with context the whole image is one region more
        stage.head(torch.zeros((pooled, maps[0].shape[1], side, side), device="meta"))
        stage.predictor(torch.zeros((regions, stage.predictor.scores.in_features), device="meta"))
    weights = sum(v.numel() for name, v in model.state_dict().items() if not name.endswith(NO_WEIGHTS))
    return Cost(weights, counter.get_total_flops() // 2, size, regions)


def latency(checkpoint: Path, index: AnnotationIndex, images: int, device: torch.device) -> float:
    """Median milliseconds from a decoded image to its detections, one at a time, over the first `images` of the split.

    Resizing counts, reading and decoding do not. Raises InputError for a split without images.
    """
    if not len(index):
        raise InputError(f"{index.source}: has no image to measure the time on; leave --latency out")
    detector, _ = load_detector(checkpoint, device)
    rows = [i % len(index) for i in range(images)]
    for row in rows[:WARM_UP]:
        detector([read_image(index.path(row), detector.grey_bits)])
    seconds = []
    for row in rows:
        image = read_image(index.path(row), detector.grey_bits)
        began = time.perf_counter()
        detector([image])  # its detections are on the CPU, so the device is done
        seconds.append(time.perf_counter() - began)
    return 1000 * statistics.median(seconds)
