"""What a classifier minimises, and its top-1 and top-5 error on images."""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detection import parallel
from detection.classify.batches import ImageBatch, normalise
from detection.classify.images import ImageSet
from detection.classify.views import View, errors_of, probabilities
from detection.engine.trainable import Evaluation, StepLosses


class ClassificationObjective:
    """The loss of a batch, and validation over `images` in the given view, or none where there is no validation split.

    batch: images at once in validation; label_smoothing: share of a label spread over all classes.
    """

    def __init__(
        self,
        images: ImageSet | None,
        view: View,
        batch: int,
        workers: int,
        label_smoothing: float,
        device: torch.device,
    ) -> None:
        self.images = images
        self.view = view
        self.batch = batch
        self.workers = workers
        self.label_smoothing = label_smoothing
        self.device = device

    def losses(self, model: nn.Module, batch: ImageBatch) -> StepLosses:
        batch = batch.to(self.device)
        scores = model(normalise(batch.pixels, batch.shifts)).float()
        loss = F.cross_entropy(scores, batch.labels, label_smoothing=self.label_smoothing)
        error = (scores.detach().argmax(1) != batch.labels).float().mean()
        return StepLosses({"loss": loss}, len(batch.labels), {"error": error})

    def evaluate(self, model: nn.Module, iteration: int) -> Evaluation:
        return Evaluation({} if self.images is None else self.measure(model, self.images))

    def evaluation_seconds(self, model: nn.Module) -> float:
        if self.images is None:
            return 0.0
        tried = min(self.batch, len(self.images))
        began = time.monotonic()
        probabilities(model, self.images.subset(list(range(tried))), self.view, self.device, self.batch, 0)
        return (time.monotonic() - began) * len(self.images) / tried / parallel.world()

    def measure(self, model: nn.Module, images: ImageSet) -> dict[str, float]:
        """`top1_error` and `top5_error` as shares and the cross-entropy `loss`; the same on every rank."""
        return errors_of(self._over_all_ranks(model, images), images.labels)

    def _over_all_ranks(self, model: nn.Module, images: ImageSet) -> Tensor:
        """(N, K) probabilities; process r of w looks at batches r, r + w, ... of those of one process, since the last
        bits of a net's output depend on the size of the batch."""
        starts = range(parallel.rank() * self.batch, len(images), parallel.world() * self.batch)
        mine = [row for start in starts for row in range(start, min(start + self.batch, len(images)))]
        part = torch.empty(0, len(images.class_names))
        if mine:
            chosen = images if len(mine) == len(images) else images.subset(mine)
            part = probabilities(model, chosen, self.view, self.device, self.batch, self.workers)
        scores = torch.empty(len(images), len(images.class_names))
        for rows, found in parallel.gather((mine, part)):
            scores[rows] = found
        return scores
