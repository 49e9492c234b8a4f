"""Training of classifiers against a plain torchvision loop, and the memory of a very deep net."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from backbones.nets import make_net
from backbones.pretrained import IMAGENET_MEAN, IMAGENET_STD
from benchmarks.measuring import alternate
from detection.classify.augment import CropAugmentation
from detection.classify.batches import training_batches
from detection.classify.images import ImageSet
from detection.data.order import TrainingOrder
from detection.engine.callback import Callback
from detection.engine.learning_rate import LearningRate
from detection.engine.length import Length
from detection.engine.loop import Loop
from detection.engine.loop_settings import LoopSettings
from detection.engine.optimizer import build_optimizer
from detection.engine.state import Progress, TrainingState
from detection.experiments.report import Report
from detection.loading.class_images import open_data
from detection.markdown import markdown_table
from detection.training.class_validation import ClassificationObjective

BATCH = 128
CROP, PAD = 32, 4


class Peer(Dataset[tuple[Tensor, int]]):
    """The images as torchvision's tutorials have them: a picture at a time through transforms."""

    def __init__(self, images: ImageSet) -> None:
        self.images = images
        mean, std = ([v / 255 for v in values] for values in (IMAGENET_MEAN, IMAGENET_STD))
        self.transform = v2.Compose(
            [
                v2.RandomCrop(CROP, padding=PAD),
                v2.RandomHorizontalFlip(),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(mean, std),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.transform(self.images.picture(row)), int(self.images.labels[row])


class Plain:
    """The loop everyone writes first."""

    def __init__(self, images: ImageSet, net: str, workers: int) -> None:
        torch.manual_seed(0)
        self.net = make_net(net, len(images.class_names))
        self.optimizer = torch.optim.SGD(self.net.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
        self.loader = DataLoader(
            Peer(images), BATCH, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=workers > 0
        )
        self.batches = self._forever()

    def _forever(self) -> Iterator[Any]:
        while True:
            yield from self.loader

    def load(self, steps: int) -> None:
        for _ in range(steps):
            next(self.batches)

    def train(self, steps: int) -> None:
        self.net.train()
        for _ in range(steps):
            pixels, labels = next(self.batches)
            self.optimizer.zero_grad()
            F.cross_entropy(self.net(pixels), labels).backward()
            self.optimizer.step()


class Ours:
    """The toolkit's pipeline and loop, as `frcnn pretrain` runs them."""

    def __init__(self, images: ImageSet, net: str, rounds: int) -> None:
        torch.manual_seed(0)
        self.net = make_net(net, len(images.class_names)).to(memory_format=torch.channels_last)
        optimizer = build_optimizer(self.net, 0.1, 0.9, 1e-4, 1e-4, 1e-4)
        self.state = TrainingState(self.net, optimizer, LearningRate(0.1, Length(rounds)))
        order = TrainingOrder(np.ones((len(images), 2), dtype=np.int64), BATCH, [0], 0, rounds, group_by_aspect=False)
        draws = ([(draw.row, draw.seed) for draw in batch] for batch in order)
        augmentation = CropAugmentation("pad", CROP, pad=PAD, fill=images.mean_colour())
        self.batches = training_batches(images, augmentation, draws, 0)
        self.objective = ClassificationObjective(None, None, BATCH, 0, 0.0, torch.device("cpu"))  # type: ignore[arg-type]

    def load(self, steps: int) -> None:
        for _ in range(steps):
            next(self.batches)

    def train(self, steps: int) -> None:
        self.state.progress = Progress()
        self.state.rate.length = Length(steps)
        settings = LoopSettings(1, 0, None, "off", steps, steps + 1, steps + 1, "loss", None)
        Loop(self.state, self.objective, settings, lambda name, state: None, Callback()).run(self.batches)


def classifier(data: str | None, net: str, rounds: int, steps: int, workers: int, command: list[str]) -> Report:
    images = open_data(data).read("train")
    needed = (rounds + 1) * steps * 11
    peer, ours = Plain(images, net, workers), Ours(images, net, needed)
    measured = {
        "input pipeline": alternate(
            {"torchvision": partial(peer.load, steps * 10), "toolkit": partial(ours.load, steps * 10)}, rounds
        ),
        "training": alternate(
            {"torchvision": partial(peer.train, steps), "toolkit": partial(ours.train, steps)}, rounds
        ),
    }
    rows, numbers = [], {}
    for work, seconds in measured.items():
        count = steps * BATCH * (10 if work == "input pipeline" else 1)
        speed = {name: count / statistics.median(taken) for name, taken in seconds.items()}
        ratios = [a / b for a, b in zip(seconds["torchvision"], seconds["toolkit"])]
        numbers[work] = {"images_per_second": speed, "seconds": seconds, "ratio": statistics.median(ratios)}
        shown = [f"{speed[name]:.0f}" for name in ("torchvision", "toolkit")]
        rows.append([work, *shown, f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}"])
    header = ["work", "torchvision, images/s", "toolkit, images/s", "ratio", "over the rounds"]
    text = f"{markdown_table(header, rows, 'lrrrr')}\n{net}, batches of {BATCH}, {rounds} rounds of {steps} steps, in "
    text += f"turns in one process; torchvision with {workers} loading processes."
    return Report("benchmark_classifier", "Speed of classifier training", command, {"work": numbers}, text, {})


def step_memory(net: str, batch: int, rematerialise: bool) -> tuple[float, float]:
    """Seconds of a training step and MB of resident memory that it adds at its peak; for a fresh process."""
    torch.manual_seed(0)
    model = make_net(net, 10, rematerialise=rematerialise).to(memory_format=torch.channels_last)
    pixels = torch.randn(batch, 3, CROP, CROP).to(memory_format=torch.channels_last)
    labels = torch.zeros(batch, dtype=torch.int64)
    F.cross_entropy(make_net("cifar_resnet8", 10)(pixels[:2]), labels[:2]).backward()  # loads what torch loads late
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    F.cross_entropy(model(pixels), labels).backward()
    seconds = time.perf_counter() - began
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def rematerialise(net: str, batch: int, command: list[str]) -> Report:
    rows, numbers = [], {}
    for name, again in (("kept", False), ("computed again", True)):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            seconds, megabytes = fresh.submit(step_memory, net, batch, again).result()
        numbers[name] = {"seconds": seconds, "megabytes": megabytes}
        rows.append([name, f"{seconds:.1f}", f"{megabytes:.0f}"])
    header = ["activations", "seconds", "peak memory, MB"]
    text = f"{markdown_table(header, rows, 'lrr')}\nOne training step of {net} on {batch} images of {CROP} pixels."
    return Report("benchmark_rematerialise", "Memory of a deep net", command, {"step": numbers}, text, {})
