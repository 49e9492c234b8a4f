"""torchvision's FasterRCNN trained exactly as `frcnn train --config FILE` trains ours, to compare the two.

Same initial backbone weights, images, order, flips, sizes, schedule and optimiser rules: the batches and the loop are
ours, the model and its losses torchvision's with its defaults. Evaluated on the validation split like ours.

    python tools/compare_torchvision.py --config configs/bccd.yaml --data PATH --model.weights resnet18.pt \
        --output runs/bccd-torchvision
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from backbones.pretrained import read_state
from detection.config.read import read_config, to_yaml
from detection.config.schema import Config
from detection.data.dataset import DetectionDataset, loader
from detection.data.order import EvaluationOrder, TrainingOrder
from detection.engine.callback import Callbacks
from detection.engine.hardware import loaders
from detection.engine.loop import Loop
from detection.engine.loop_settings import LoopSettings
from detection.engine.metric_files import MetricFiles
from detection.engine.run import length_of
from detection.engine.state import TrainingState
from detection.engine.tensorboard import TensorBoard
from detection.engine.terminal import Terminal
from detection.engine.trainable import Evaluation, StepLosses
from detection.errors import InputError
from detection.evaluation.coco_ap import evaluate_coco
from detection.evaluation.report import summary_table, to_json
from detection.evaluation.results import ground_truth, to_results
from detection.files.atomic import write_atomically
from detection.geometry.boxes import rescale
from detection.loading.datasets import load_splits
from detection.records import Batch, Detections


def build_peer(config: Config, classes: int) -> FasterRCNN:
    """torchvision's detector with the backbone weights and the freezing of `config`, everything else its default."""
    body = resnet_fpn_backbone(
        backbone_name=config.model.backbone, weights=None, trainable_layers=5 - (config.model.freeze or 0)
    )
    if config.model.weights is not None:
        state = {k: v for k, v in read_state(Path(config.model.weights)).items() if not k.startswith("fc.")}
        body.body.load_state_dict(state, strict=False)
    # Images arrive resized; in evaluation torchvision resizes all the same, here to the size that they have.
    sides = {"min_size": config.input.test_short_side, "max_size": config.input.long_side}
    return FasterRCNN(body, num_classes=classes + 1, _skip_resize=True, **sides)


class PeerObjective:
    """Our batches into torchvision's model; its losses and detections out."""

    def __init__(self, dataset: DetectionDataset, config: Config) -> None:
        self.dataset, self.config = dataset, config
        self.results: list[dict[str, Any]] = []

    def losses(self, model: nn.Module, batch: Batch) -> StepLosses:
        assert batch.targets is not None
        targets = [{"boxes": t.boxes, "labels": t.labels + 1} for t in batch.targets]
        return StepLosses(model(self._images(batch), targets), len(batch.indices))

    def evaluate(self, model: nn.Module, iteration: int) -> Evaluation:
        self._detect(model, len(self.dataset))
        return Evaluation(
            evaluate_coco(ground_truth(self.dataset.index), self.results, self.config.evaluate.backend).stats
        )

    @torch.no_grad()
    def _detect(self, model: nn.Module, count: int) -> None:
        """What it finds in the first `count` images, into `results`."""
        model.eval()
        index, config = self.dataset.index, self.config
        order = EvaluationOrder(count, 1, config.input.test_short_side)
        self.results = []
        for batch in loader(self.dataset, order, loaders(config.input.workers, torch.device("cpu")), 1, pin=False):
            for found, row, size, original in zip(
                model(self._images(batch)), batch.indices, batch.sizes, batch.original_sizes
            ):
                boxes = rescale(found["boxes"], size, original)
                detections = Detections(boxes, found["scores"], found["labels"] - 1, original)
                self.results += to_results([detections], index, [row])

    def evaluation_seconds(self, model: nn.Module) -> float:
        began, tried = time.monotonic(), min(4, len(self.dataset))
        self._detect(model, tried)
        return (time.monotonic() - began) / tried * len(self.dataset)

    @staticmethod
    def _images(batch: Batch) -> list[Tensor]:
        return [image[:, :h, :w].float() / 255 for image, (h, w) in zip(batch.images, batch.sizes)]


def _save(folder: Path, name: str, state: TrainingState) -> None:
    torch.save(state.model.state_dict(), folder / f"{name}.pt")


def main(arguments: list[str]) -> int:
    config = read_config(arguments, Config)
    splits = load_splits(config)
    assert splits.val is not None, "the comparison needs a validation split"
    torch.manual_seed(config.seed)
    model = build_peer(config, len(splits.train.class_names))
    train, data, folder = config.train, config.input, Path(config.output)
    order = TrainingOrder(splits.train.sizes, train.batch, data.train_short_sides, config.seed, stop=1)
    length = length_of(train, order.steps_per_epoch)
    order.stop = length.total
    objective = PeerObjective(DetectionDataset(splits.val, data, training=False), config)
    state = TrainingState.at_start(model, replace(train, bias_decay=1e-4), length)
    settings = LoopSettings(
        1, config.seed, train.clip, "off", train.log_every, length.total, length.total, train.metric, None
    )
    write_atomically(folder / "config.yaml", to_yaml(config).encode())
    told = Callbacks([Terminal(), MetricFiles(folder), TensorBoard(folder / "tensorboard")])
    told.on_start(0, length.total)
    loop = Loop(state, objective, settings, partial(_save, folder), told)
    began = time.monotonic()
    batches = loader(
        DetectionDataset(splits.train, data, training=True),
        order,
        loaders(data.workers, torch.device("cpu")),
        1,
        pin=False,
    )
    loop.run(iter(batches))
    told.on_end()
    result = evaluate_coco(ground_truth(splits.val), objective.results, config.evaluate.backend)
    print(
        f"{time.monotonic() - began:.0f} s for {length.total} iterations and the evaluation\n\n{summary_table(result)}"
    )
    write_atomically(folder / "evaluation.json", json.dumps(to_json(result), indent=1).encode())
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as error:
        sys.exit(f"compare_torchvision.py: error: {error}")
