"""The largest batch that a GPU has memory for, measured on training steps of the very model.

Memory grows with the batch in a straight line, but where the line lies depends on backbone, sizes, objects, precision
and allocator: so steps of made-up images of the largest size are run, each twice as many as before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
import torch

from detection.config.schema import Config
from detection.data.index import AnnotationIndex
from detection.engine.hardware import memory_used
from detection.engine.length import Length
from detection.engine.loop import AMP_TYPES
from detection.engine.state import TrainingState
from detection.errors import InputError
from detection.model.build import build_model
from detection.records import Batch, Target

SHARE = 0.85
"""of the free memory that a batch may take: the allocator leaves gaps, and real batches differ"""

LARGEST = 256


def largest_batch(measure: Callable[[int], int | None], room: int, most: int) -> tuple[int, int]:
    """(images, bytes) of the largest batch that is a power of two, takes at most `room` bytes and is not above `most`.

    measure: bytes at the peak of a step of so many images, None where they do not fit at all. A batch that the two
    before let expect to be too large is not tried. Raises `InputError` where not even one image fits.
    """
    found: list[tuple[int, int]] = []
    images = 1
    while images <= most:
        if len(found) > 1:
            (few, less), (many, more) = found[-2:]
            if more + (more - less) / (many - few) * (images - many) > room:
                break
        taken = measure(images)
        if taken is None or taken > room:
            break
        found.append((images, taken))
        images *= 2
    if not found:
        raise InputError(
            "--batch auto: not even one image fits into the memory of this GPU; lower input.long_side and "
            "input.train_short_sides, or choose a smaller model.backbone"
        )
    return found[-1]


def measured_batch(config: Config, index: AnnotationIndex, device: torch.device) -> tuple[int, str]:
    """The largest batch for `config` on a GPU, and why. Raises `InputError` where one image is too much."""
    free, _ = torch.cuda.mem_get_info(device)
    room = int(free * SHARE)
    images, taken = largest_batch(step_memory(config, index, device), room, min(LARGEST, len(index)))
    return images, f"takes {taken / 2**30:.1f} GiB of {free / 2**30:.1f} GiB that are free, as measured"


def step_memory(config: Config, index: AnnotationIndex, device: torch.device) -> Callable[[int], int | None]:
    """A function from a number of images to the bytes at the peak of a training step of them."""
    classes = len(index.class_names)
    model = build_model(config.model, classes).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = TrainingState.at_start(model, config.train, Length(1))
    objects = int(np.quantile(np.diff(index.offsets), 0.99)) if len(index) else 0
    short, long = max(config.input.train_short_sides), config.input.long_side
    amp = AMP_TYPES[config.train.amp]

    def measure(images: int) -> int | None:
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        batch = _made_up(images, (short, min(long, short * 4 // 3)), objects, classes, model.size_multiple).to(device)
        try:
            model.train()
            with torch.autocast(device.type, dtype=amp) if amp else contextlib.nullcontext():
                losses = model(batch)
            torch.stack([loss.float() for loss in losses.values()]).sum().backward()
            state.optimizer.step()
        except torch.cuda.OutOfMemoryError:
            return None
        finally:
            state.optimizer.zero_grad(set_to_none=True)
        return memory_used(device)

    return measure


def _made_up(images: int, size: tuple[int, int], objects: int, classes: int, multiple: int) -> Batch:
    """Noise with boxes of all sizes, on canvases as loaders make them."""
    height, width = (-(-side // multiple) * multiple for side in size)
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, 3, height, width), generator=random, dtype=torch.uint8)
    targets = []
    for _ in range(images):
        low = torch.rand(objects, 2, generator=random) * torch.tensor([size[1] * 0.6, size[0] * 0.6])
        sides = 8 + torch.rand(objects, 2, generator=random) * min(size) * 0.3
        labels = torch.arange(objects) % classes
        targets.append(Target(torch.cat([low, low + sides], 1), labels, torch.zeros(0, 4)))
    return Batch(pixels, [size] * images, [size] * images, list(range(images)), targets, seeds=list(range(images)))
