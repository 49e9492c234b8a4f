"""The 4-step alternating training of Faster R-CNN (Ren et al. 2015, section 3.2).

step1/   the RPN, from the pretrained backbone
step2/   Fast R-CNN on its proposals, from the pretrained backbone again; nothing is shared yet
step3/   the RPN anew, on the backbone of step 2, which is fixed
step4/   what is Fast R-CNN's own, on the proposals of step 3; backbone and RPN are fixed

Each step is a run of its own folder, which is resumed where it stopped; between them lie proposals_train.npz and
proposals_val.npz of steps 1 and 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from detection import checkpoint, parallel
from detection.atomic import write_atomically
from detection.config.origin import Setting, annotated_yaml
from detection.config.schema import Config
from detection.data.dataset import DetectionDataset
from detection.engine.callback import Callback
from detection.engine.datasets import Splits
from detection.engine.detector import DetectorProblem
from detection.engine.journal import Journal
from detection.engine.proposal_cache import load_proposals, propose, save_proposals
from detection.engine.resuming import ALTERNATING, DETECTOR, refuse_other_settings
from detection.engine.run import Findings, run
from detection.engine.task import Found, Task
from detection.errors import InputError
from detection.lock import claim
from detection.model.faster_rcnn import FasterRCNN
from detection.records import Batch

Cached = tuple[list[np.ndarray], list[np.ndarray] | None]
"""Proposals of the training and of the validation split."""


@dataclass(frozen=True)
class Step:
    """learns: which part; shared: whether the layers of both parts are fixed; start: the step whose weights it
    begins with, None for the pretrained backbone; proposals: the step whose proposals it learns from."""

    name: str
    learns: Literal["rpn", "regions"]
    shared: bool
    start: str | None
    proposals: str | None


STEPS = (
    Step("step1", "rpn", False, None, None),
    Step("step2", "regions", False, None, "step1"),
    Step("step3", "rpn", True, "step2", None),
    Step("step4", "regions", True, "step3", "step3"),
)


def train_alternating(
    config: Config,
    splits: Splits,
    device: torch.device,
    origins: Mapping[str, Setting] | None = None,
    callbacks: Sequence[Callback] = (),
) -> Findings | None:
    """All four steps; the last one's findings, with `best.pt` and what it finds in the folder above. Ranks other than
    the first return None. Raises like `run`, and where finished steps had other data, model or lengths."""
    lock = claim(Path(config.output))
    try:
        return _four_steps(config, splits, device, origins or {}, callbacks)
    finally:
        if lock:
            lock.release()


def _four_steps(
    config: Config,
    splits: Splits,
    device: torch.device,
    origins: Mapping[str, Setting],
    callbacks: Sequence[Callback],
) -> Findings | None:
    folder = Path(config.output)
    # The first rank's answer, since it may have begun the first step before another one looks.
    begun = parallel.from_first((folder / "step1").exists() or checkpoint.has_run(folder))
    if begun and not config.resume:
        raise InputError(f"{folder}: holds a run already; resume it with --resume, or give another folder")
    if begun:
        refuse_other_settings(config, (*ALTERNATING, *(k for k, change in DETECTOR.items() if change == "refused")))
    if parallel.rank() == 0 and not begun:
        write_atomically(folder / "config.yaml", annotated_yaml(config, origins).encode())
    found: Findings | None = None
    for step, share in zip(STEPS, config.train.step_shares):
        settings = _of_step(config, step, share)
        cached = _cached(config, splits, folder / step.proposals) if step.proposals else None
        start = folder / step.start / "best.pt" if step.start else None
        problem = StepProblem(settings, device, splits, step, start, cached)
        found = run(settings, problem, device, origins, callbacks)
        if step.learns == "rpn":
            _propose(problem, folder / step.name)
    if parallel.rank() == 0 and begun:  # no step has refused it
        write_atomically(folder / "config.yaml", annotated_yaml(config, origins).encode())
    return _final(folder, found)


def _of_step(config: Config, step: Step, share: float) -> Config:
    train = config.train
    iterations = None if train.iterations is None else max(round(train.iterations * share), 1)
    epochs = None if train.epochs is None else train.epochs * share
    return replace(
        config,
        output=f"{config.output}/{step.name}",
        resume=True,
        train=replace(train, iterations=iterations, epochs=epochs),
    )


def _cached(config: Config, splits: Splits, folder: Path) -> Cached:
    train = load_proposals(folder / "proposals_train.npz", len(splits.train))
    return train, None if splits.val is None else load_proposals(folder / "proposals_val.npz", len(splits.val))


def _propose(problem: StepProblem, folder: Path) -> None:
    """Write the proposals of a finished RPN, unless they are there."""
    splits = {"train": problem.splits.train, "val": problem.splits.val}
    missing = {n: i for n, i in splits.items() if i is not None and not (folder / f"proposals_{n}.npz").exists()}
    if not parallel.from_first(bool(missing)):
        return
    model = problem.build(from_scratch=True)
    content = parallel.from_first(checkpoint.load(folder / "best.pt", "detection") if parallel.rank() == 0 else {})
    checkpoint.load_weights(model, content["model"], folder / "best.pt")
    for name, index in splits.items():
        if index is not None:
            limits = model.training_limits if name == "train" else model.test_limits
            found = propose(model, index, problem.config.input, limits, problem.device)
            if parallel.rank() == 0:
                save_proposals(folder / f"proposals_{name}.npz", found)
    parallel.from_first(None)  # nobody reads before the first rank has written


def _final(folder: Path, found: Findings | None) -> Findings | None:
    """The last step's best weights are the run's, and what they find."""
    if found is None:
        return None
    for name in ("best.pt", "predictions.json", "evaluation.json"):  # in this order: the last one tells of a whole run
        if (folder / "step4" / name).exists():
            write_atomically(folder / name, (folder / "step4" / name).read_bytes())
    files = {folder / "best.pt": "the detector after all four steps", **found.files}
    return Findings(found.result, found.text, files)


class StepProblem(DetectorProblem):
    """One step: a detector of which one part learns."""

    def __init__(
        self,
        config: Config,
        device: torch.device,
        splits: Splits,
        step: Step,
        start: Path | None,
        cached: Cached | None,
    ) -> None:
        super().__init__(config, device, splits)
        self.step, self.start = step, start
        self.proposals: list[np.ndarray] | None = cached[0] if cached else None
        self.val_proposals: list[np.ndarray] | None = cached[1] if cached else None
        self.lines = [f"{step.name}: {'RPN' if step.learns == 'rpn' else 'Fast R-CNN'}", *self.lines]

    def build(self, from_scratch: bool) -> FasterRCNN:
        model = super().build(from_scratch and self.start is None)
        if from_scratch and self.start is not None:
            checkpoint.load_weights(model, checkpoint.load(self.start, "detection")["model"], self.start)
        model.learns = self.step.learns
        own, other = (model.rpn, model.roi_stage) if self.step.learns == "rpn" else (model.roi_stage, model.rpn)
        fixed: list[nn.Module | None] = [other, *([model.backbone, model.neck] if self.step.shared else [])]
        for part in fixed:
            if part is not None:
                part.requires_grad_(False)
        assert any(p.requires_grad for p in own.parameters())
        return model

    def _training_set(self) -> DetectionDataset:
        return DetectionDataset(self.splits.train, self.config.input, training=True, proposals=self.proposals)

    def _validation_set(self) -> DetectionDataset | None:
        if self.splits.val is None:
            return None
        return DetectionDataset(self.splits.val, self.config.input, training=False, proposals=self.val_proposals)

    def learning(self, journal: Journal | None) -> Task:
        task = super().learning(journal)
        return task if self.step.learns == "regions" else _RPNTask(task)

    def conclude(self, model: nn.Module, iteration: int, folder: Path) -> Findings:
        return super().conclude(model, iteration, folder) if self.step.learns == "regions" else Findings(None, "", {})


class _RPNTask:
    """Losses of the RPN alone; a detector without a second stage has no AP, so the newest weights are the best."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def losses(self, model: nn.Module, batch: Batch) -> Found:
        return self._task.losses(model, batch)

    def evaluate(self, model: nn.Module, iteration: int) -> dict[str, float]:
        return {}
