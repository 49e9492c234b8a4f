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

import torch
from torch import nn

from detection import checkpoint, parallel
from detection.config.duration import seconds_of
from detection.config.origin import Setting, annotated_yaml
from detection.config.resuming import ALTERNATING, DETECTOR, refuse_other_settings
from detection.config.schema import Config
from detection.engine.callback import Callback
from detection.engine.run import run
from detection.engine.trainable import Evaluation, Objective, StepLosses, TrainingResult
from detection.errors import InputError
from detection.files.atomic import write_atomically
from detection.files.lock import claim
from detection.loading.datasets import Splits
from detection.model.faster_rcnn import FasterRCNN
from detection.records import Batch
from detection.training.detector import DetectorTraining
from detection.training.proposal_cache import SplitProposals, load_proposals, propose, save_proposals


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
    dry: bool = False,
) -> TrainingResult | None:
    """All four steps; the last one's result, with `best.pt` and what it finds in the folder above. Ranks other than
    the first return None. dry: only the beginning of the first. Raises like `run`, and where finished steps had other
    data, model or lengths."""
    if dry:
        first = _of_step(config, STEPS[0], config.train.step_shares[0])
        return run(first, StepTraining(first, device, splits, STEPS[0], None, None), device, dry=True)
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
) -> TrainingResult | None:
    folder = Path(config.output)
    # The first rank's answer, since it may have begun the first step before another one looks.
    begun = parallel.from_first((folder / "step1").exists() or checkpoint.has_run(folder))
    if begun and not config.resume:
        raise InputError(f"{folder}: holds a run already; resume it with --resume, or give another folder")
    if begun:
        refuse_other_settings(config, (*ALTERNATING, *(k for k, change in DETECTOR.items() if change == "refused")))
    if parallel.rank() == 0 and not begun:
        write_atomically(folder / "config.yaml", annotated_yaml(config, origins).encode())
    found: TrainingResult | None = None
    for step, share in zip(STEPS, config.train.step_shares):
        settings = _of_step(config, step, share)
        cached = _cached(splits, folder / step.proposals) if step.proposals else None
        start = folder / step.start / "best.pt" if step.start else None
        training = StepTraining(settings, device, splits, step, start, cached)
        found = run(settings, training, device, origins, callbacks)
        if step.learns == "rpn":
            _propose(training, folder / step.name)
    if parallel.rank() == 0 and begun:  # no step has refused it
        write_atomically(folder / "config.yaml", annotated_yaml(config, origins).encode())
    return _final(folder, found)


def _of_step(config: Config, step: Step, share: float) -> Config:
    train = config.train
    iterations = None if train.iterations is None else max(round(train.iterations * share), 1)
    epochs = None if train.epochs is None else train.epochs * share
    time = None
    if train.time is not None:
        time = f"{seconds_of(train.time, 'train.time') * share / sum(train.step_shares):.3f}s"
    return replace(
        config,
        output=f"{config.output}/{step.name}",
        resume=True,
        train=replace(train, iterations=iterations, epochs=epochs, time=time),
    )


def _cached(splits: Splits, folder: Path) -> SplitProposals:
    train = load_proposals(folder / "proposals_train.npz", len(splits.train))
    val = None if splits.val is None else load_proposals(folder / "proposals_val.npz", len(splits.val))
    return SplitProposals(train, val)


def _propose(training: StepTraining, folder: Path) -> None:
    """Write the proposals of a finished RPN, unless they are there."""
    splits = {"train": training.splits.train, "val": training.splits.val}
    missing = {n: i for n, i in splits.items() if i is not None and not (folder / f"proposals_{n}.npz").exists()}
    if not parallel.from_first(bool(missing)):
        return
    model = training.build(from_scratch=True)
    content = parallel.from_first(checkpoint.load(folder / "best.pt", "detection") if parallel.rank() == 0 else {})
    checkpoint.load_weights(model, content["model"], folder / "best.pt")
    for name, index in splits.items():
        if index is not None:
            limits = model.training_limits if name == "train" else model.test_limits
            found = propose(model, index, training.config.input, limits, training.device)
            if parallel.rank() == 0:
                save_proposals(folder / f"proposals_{name}.npz", found)
    parallel.from_first(None)  # nobody reads before the first rank has written


def _final(folder: Path, found: TrainingResult | None) -> TrainingResult | None:
    """The last step's best weights are the run's, and what they find."""
    if found is None:
        return None
    for name in ("best.pt", "predictions.json", "evaluation.json"):  # in this order: the last one tells of a whole run
        if (folder / "step4" / name).exists():
            write_atomically(folder / name, (folder / "step4" / name).read_bytes())
    files = {folder / "best.pt": "the detector after all four steps", **found.files}
    return TrainingResult(found.evaluation, found.summary, files)


class StepTraining(DetectorTraining):
    """One step: a detector of which one part learns."""

    def __init__(
        self,
        config: Config,
        device: torch.device,
        splits: Splits,
        step: Step,
        start: Path | None,
        proposals: SplitProposals | None,
    ) -> None:
        super().__init__(config, device, splits, proposals)
        self.step, self.start = step, start
        self.notes = [f"{step.name}: {'RPN' if step.learns == 'rpn' else 'Fast R-CNN'}", *self.notes]
        if step.learns == "rpn":
            self.objective = _RPNObjective(self.objective)

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

    def conclude(self, model: nn.Module, iteration: int, folder: Path) -> TrainingResult:
        if self.step.learns == "rpn":
            return TrainingResult(None, "", {})
        return super().conclude(model, iteration, folder)


class _RPNObjective:
    """Losses of the RPN alone; a detector without a second stage has no AP, so the newest weights are the best."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective

    def losses(self, model: nn.Module, batch: Batch) -> StepLosses:
        return self.objective.losses(model, batch)

    def evaluate(self, model: nn.Module, iteration: int) -> Evaluation:
        return Evaluation({})

    def evaluation_seconds(self, model: nn.Module) -> float:
        return 0.0
