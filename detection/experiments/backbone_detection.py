"""Detectors fine-tuned on equal terms from the backbones of `backbone_pretraining`, and what improves the best of them.

RUNS/detect/NET/RATE/SEED   one training; VARIANT-NET in place of NET for context and alternating training
RUNS/detect/NET.json        how the rate of a net was found
RUNS/tested/ROW/SEED.json   what the detector finds on the test split

Rates and the net that is improved further are chosen by AP on the validation split; the test split is reported.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from detection import parallel
from detection.config.read import read_config
from detection.config.resuming import refuse_other_settings
from detection.config.schema import Config
from detection.config.shipped import config_in
from detection.errors import DivergedError, InputError
from detection.experiments.jobs import Jobs
from detection.experiments.tested import detect_once, is_tested
from detection.files.atomic import write_atomically
from detection.loading.datasets import load_split, load_splits
from detection.predict.improved import Improvements
from detection.training.train import train

Say = Callable[[str], None]

RATES = (0.02, 0.01, 0.005)
SEEDS = (0, 1, 2)
SCALES = (192, 256, 320, 384, 448)
"""Short sides of multi-scale testing, around the 320 pixels of training as the paper's lie around 600."""
TEST = "test"
"""Split that is reported and decides nothing."""


@dataclass(frozen=True)
class Variant:
    """A way to train other than the plain one, by its name in folders and in the table."""

    name: str = ""
    context: bool = False
    alternating: bool = False


PLAIN, CONTEXT, ALTERNATING = Variant(), Variant("context", context=True), Variant("alternating", alternating=True)


@dataclass(frozen=True)
class ComparedRow:
    """name: in the table; variant: how its detectors were trained; ensemble: all seeds together, else one by one."""

    name: str
    variant: Variant = PLAIN
    improvements: Improvements = Improvements()
    ensemble: bool = False


IMPROVED = (
    ComparedRow("box refinement", improvements=Improvements(refine=True)),
    ComparedRow("multi-scale", improvements=Improvements(scales=SCALES)),
    ComparedRow("flip", improvements=Improvements(flip=True)),
    ComparedRow("context", CONTEXT),
    ComparedRow("refinement + context", CONTEXT, Improvements(refine=True)),
    ComparedRow(
        "refinement + context + multi-scale + flip", CONTEXT, Improvements(refine=True, scales=SCALES, flip=True)
    ),
    ComparedRow("ensemble of three", ensemble=True),
    ComparedRow("alternating training", ALTERNATING),
)


@dataclass(frozen=True)
class DetectionPlan:
    """What is trained. configs: folder of detect_resnet.yaml and detect_vgg.yaml; settings: options for all; runs:
    folder of everything."""

    configs: Path
    settings: list[str]
    runs: Path
    rates: tuple[float, ...] = RATES
    seeds: tuple[int, ...] = SEEDS

    def config(self, net: str, rate: float, seed: int, variant: Variant = PLAIN) -> Config:
        """The config of one training, which is resumed where it stopped."""
        file = config_in(self.configs, f"detect_{'vgg' if net.startswith('vgg') else 'resnet'}")
        folder = self.runs / "detect" / "-".join(filter(None, (variant.name, net))) / f"{rate:g}" / str(seed)
        words = [
            *("--config", str(file), *self.settings, f"--output={folder}", f"--seed={seed}", f"--train.lr={rate}"),
            f"--model.backbone={net}",
            f"--model.weights={self.runs / 'pretrain' / net / 'backbone.pt'}",
            f"--model.roi.context={str(variant.context).lower()}",
            f"--train.mode={'alternating' if variant.alternating else 'joint'}",
        ]
        config = replace(read_config(words, Config), resume=True)
        if config.dataset.val == TEST:
            raise InputError(f"{file}: dataset.val: {TEST} is the split that is reported; validate on another")
        return config


def detect_with(plan: DetectionPlan, net: str, say: Say, jobs: Jobs) -> None:
    """The detectors of one net, trained with each seed and tested; what is done is not done again."""
    rate = find_rate(plan, net, say, jobs)
    _train_all([plan.config(net, rate, seed) for seed in plan.seeds], say, jobs)
    _test_all(plan, net, [ComparedRow(net)], say, jobs)


def improve_best(plan: DetectionPlan, nets: tuple[str, ...], say: Say, jobs: Jobs) -> None:
    """What improves the best residual net, once all are trained."""
    best = best_residual(plan, nets)
    if best is None:
        return
    say(f"{best}: the best residual net by AP on the validation split; what improves it")
    rate = read_rate(plan, best)
    variants = {row.variant.name: row.variant for row in IMPROVED if row.variant != PLAIN}.values()
    _train_all([plan.config(best, rate, seed, variant) for variant in variants for seed in plan.seeds], say, jobs)
    _test_all(plan, best, list(IMPROVED), say, jobs)


def find_rate(plan: DetectionPlan, net: str, say: Say, jobs: Jobs) -> float:
    """The rate whose training with the first seed has the highest AP on the validation split."""
    file = plan.runs / "detect" / f"{net}.json"
    if file.exists():
        return read_rate(plan, net)
    configs = {f"{rate:g}": plan.config(net, rate, plan.seeds[0]) for rate in plan.rates}
    _train_all(list(configs.values()), say, jobs)
    found = {rate: None if _diverged(run).exists() else validation_ap(run) for rate, run in configs.items()}
    finite = {rate: ap for rate, ap in found.items() if ap is not None}
    if not finite:
        raise InputError(f"{net}: the loss became infinite with every learning rate of {plan.rates}; add smaller ones")
    best = max(finite, key=lambda rate: finite[rate])
    write_atomically(file, json.dumps({"chosen": float(best), "validation_ap": found}, indent=1).encode())
    return float(best)


def read_rate(plan: DetectionPlan, net: str) -> float:
    """The rate that `find_rate` chose."""
    return float(json.loads((plan.runs / "detect" / f"{net}.json").read_text())["chosen"])


def validation_ap(config: Config) -> float:
    return float(json.loads((Path(config.output) / "evaluation.json").read_text())["stats"]["AP"])


def _diverged(config: Config) -> Path:
    """There where the loss became infinite."""
    return Path(config.output) / "diverged.txt"


def _train_all(configs: list[Config], say: Say, jobs: Jobs) -> None:
    """Those that are not trained yet; one whose loss becomes infinite is marked."""
    waiting = []
    for config in configs:
        refuse_other_settings(config)
        if not (Path(config.output) / "evaluation.json").exists() and not _diverged(config).exists():
            waiting.append(config)
            say(f"{config.output}: training")
    jobs.each(_train, [(config,) for config in waiting])


def _train(config: Config) -> None:
    try:
        train(config)
    except DivergedError as error:
        write_atomically(_diverged(config), f"{error}\n".encode())


def is_trained(plan: DetectionPlan, net: str, variant: Variant = PLAIN) -> bool:
    """Whether all seeds are trained to the end."""
    if not (plan.runs / "detect" / f"{net}.json").exists():
        return False
    configs = [plan.config(net, read_rate(plan, net), seed, variant) for seed in plan.seeds]
    return all((Path(config.output) / "evaluation.json").exists() for config in configs)


def best_residual(plan: DetectionPlan, nets: tuple[str, ...]) -> str | None:
    """The residual net with the highest mean AP over seeds on the validation split; None until all are trained."""
    residual = [net for net in nets if net.startswith("resnet")]
    if not residual or not all(is_trained(plan, net) for net in residual):
        return None

    def mean_ap(net: str) -> float:
        rate = read_rate(plan, net)
        return sum(validation_ap(plan.config(net, rate, seed)) for seed in plan.seeds) / len(plan.seeds)

    return max(residual, key=mean_ap)


def lacks_weights(plan: DetectionPlan, net: str) -> bool:
    """Whether what improves a net is still to be tried, and the weights to try it with are gone."""
    if all(rows_of_seeds(plan, net, row) for row in IMPROVED):
        return False
    files = [Path(plan.config(net, read_rate(plan, net), seed).output) / "best.pt" for seed in plan.seeds]
    return not all(file.exists() for file in [*files, plan.runs / "pretrain" / net / "backbone.pt"])


def row_file(plan: DetectionPlan, net: str, row: ComparedRow, seed: int) -> Path:
    """Where the detections of a row lie; of an ensemble under its first seed."""
    name = net if row.name == net else f"{net} {row.name}"
    folder = name.replace(" + ", "_").replace(" ", "_").replace("-", "_")
    return plan.runs / "tested" / folder / f"{seed}.json"


def rows_of_seeds(plan: DetectionPlan, net: str, row: ComparedRow) -> list[Path]:
    """The files of a row that is tested to the end, else none."""
    if not is_trained(plan, net, row.variant):
        return []
    files = [row_file(plan, net, row, seed) for seed in (plan.seeds[:1] if row.ensemble else plan.seeds)]
    return files if all(file.with_name(f"{file.stem}_time.json").exists() for file in files) else []


def _test_all(plan: DetectionPlan, net: str, rows: list[ComparedRow], say: Say, jobs: Jobs) -> None:
    """The detections of each row on the test split, one file for each seed, or one of all together."""
    waiting = []
    for row in rows:
        if not is_trained(plan, net, row.variant):
            say(f"{net}, {row.name}: not tested, since the loss of a training became infinite")
            continue
        configs = {seed: plan.config(net, read_rate(plan, net), seed, row.variant) for seed in plan.seeds}
        weights = {seed: Path(config.output) / "best.pt" for seed, config in configs.items()}
        groups = {plan.seeds[0]: list(weights.values())} if row.ensemble else {s: [w] for s, w in weights.items()}
        for seed, group in groups.items():
            file = row_file(plan, net, row, seed)
            if not is_tested(group, file):
                waiting.append((f"{net}, {row.name}, seed {seed}", configs[seed], group, row.improvements, file))
    jobs.each(_test, waiting)


def _test(name: str, config: Config, checkpoints: list[Path], improvements: Improvements, file: Path) -> None:
    index, _ = load_split(config, TEST, load_splits(config).train.class_names)
    detect_once(name, checkpoints, improvements, index, file, parallel.choose_device(config.device), print)


def plan_as_json(plan: DetectionPlan) -> dict[str, object]:
    """What the report says of the plan."""
    rows = [{**asdict(row), "variant": row.variant.name} for row in IMPROVED]
    return {"rates": plan.rates, "seeds": plan.seeds, "scales": SCALES, "improved": rows}
