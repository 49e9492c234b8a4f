"""The detection tables of He et al. 2015, from the data to the table: train each cell, test each row, compare.

A cell is a config in configs/paper/ and a run of its own; a row is one cell or several, tested with improvements of
appendix B. What is done is not done again: runs are resumed where they stopped, rows lie as JSON beside them.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from detection import parallel
from detection.config.read import read_config
from detection.config.resuming import refuse_other_settings
from detection.config.schema import Config
from detection.config.shipped import config_in
from detection.config.training import evaluated_often
from detection.data.index import AnnotationIndex
from detection.errors import InputError
from detection.evaluation.compare import Comparison, Contestant, Cost, compare
from detection.experiments.detector_cost import detector_cost
from detection.experiments.tested import Tested, detect_once
from detection.loading.datasets import Splits, load_splits
from detection.predict.improved import Improvements
from detection.training.train import train

SCALES = {"full": (200, 400, 600, 800, 1000), "mini": (96, 144, 192, 240, 288)}
"""Short sides of multi-scale testing: the paper's, and the same around the 192 pixels of the mini cells."""

CELLS = {
    ("full", "table7"): "voc_{}",
    ("full", "table8"): "coco_{}",
    ("mini", "table7"): "mini_{}",
    ("mini", "table8"): "mini_{}",
}
NAMES = {
    "full": {"resnet": "resnet101", **{cell: f"resnet101_{cell}" for cell in ("context", "second", "third")}},
    "mini": {"context": "resnet_context"},
}

METRICS = {"table7": "voc", "table8": "coco"}
PAPER = {"table7": 7, "table8": 9}
"""The published table beside ours: the baselines of table 8 are the first rows of table 9."""


@dataclass(frozen=True)
class TableRow:
    """name: in the table; cells: one, or several for an ensemble; refine, scales: of appendix B; against: the row whose
    time is 1."""

    name: str
    cells: tuple[str, ...]
    refine: bool = False
    scales: bool = False
    against: str = "ResNet"


ROWS = (
    TableRow("VGG-16", ("vgg16",), against="VGG-16"),
    TableRow("ResNet", ("resnet",)),
    TableRow("ResNet + box refinement", ("resnet",), refine=True),
    TableRow("ResNet + refinement + context", ("context",), refine=True),
    TableRow("ResNet + refinement + context + multi-scale", ("context",), refine=True, scales=True),
    TableRow("ensemble of three, all of it", ("context", "second", "third"), refine=True, scales=True),
)


@dataclass(frozen=True)
class Reproduction:
    """comparison: the rows' numbers; slower: row -> its time over that of the row it is measured against; index: what
    was tested on; data: its name in the settings."""

    comparison: Comparison
    slower: dict[str, float]
    index: AnnotationIndex
    data: str


def reproduce(
    table: str,
    scale: str,
    configs: Path,
    settings: list[str],
    output: Path,
    say: Callable[[str], None],
    resamples: int = 1000,
) -> Reproduction:
    """Everything that `table` needs at `scale`. settings: options of `frcnn train` for every cell, `--data` among them.

    Raises `InputError` for what the user can fix, `Interrupted` when asked to stop; called again, it resumes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("a table is made by one process; train its cells with torchrun tools/train.py first")
    splits: Splits | None = None
    runs: dict[str, Config] = {}
    for cell in dict.fromkeys(cell for row in ROWS for cell in row.cells):
        name = CELLS[scale, table].format(NAMES[scale].get(cell, cell))
        config = _config(config_in(configs, name), settings, output / "runs" / name)
        splits = splits or load_splits(config)
        if splits.val is None:
            raise InputError("dataset.val: null leaves nothing to test on; name a split")
        refuse_other_settings(config)
        runs[cell] = config
        if (Path(config.output) / "evaluation.json").exists():
            say(f"{name}: is trained already")
        else:
            say(f"{name}: training")
            train(config, splits)
    assert splits is not None and splits.val is not None
    tested = {row.name: _tested(row, runs, splits.val, scale, output / "rows", say) for row in ROWS}
    contestants = [_contestant(row, tested[row.name], runs, splits.val) for row in ROWS]
    comparison = compare(splits.val, contestants, METRICS[table], resamples)
    slower = {row.name: tested[row.name].milliseconds / tested[row.against].milliseconds for row in ROWS}
    return Reproduction(comparison, slower, splits.val, str(config.data))


def _config(file: Path, settings: list[str], output: Path) -> Config:
    words = ["--config", str(file), *settings, f"--output={output}"]
    config = read_config(words, Config)
    if evaluated_often(config.train):
        raise InputError(
            f"{file.name}: evaluates more than once, so weights would be chosen on the split that is reported; set "
            "train.evaluate_every to train.iterations, so that the last weights are tested, as in the paper"
        )
    return replace(config, resume=True)


def _tested(
    row: TableRow,
    runs: dict[str, Config],
    index: AnnotationIndex,
    scale: str,
    folder: Path,
    say: Callable[[str], None],
) -> Tested:
    """The row's detections and median time an image."""
    slug = re.sub(r"[^a-z0-9]+", "_", row.name.lower()).strip("_")
    weights = [Path(runs[cell].output) / "best.pt" for cell in row.cells]
    improvements = Improvements(row.refine, scales=SCALES[scale] if row.scales else ())
    device = parallel.choose_device(runs[row.cells[0]].device)
    return detect_once(row.name, weights, improvements, index, folder / f"{slug}.json", device, say)


def _contestant(row: TableRow, tested: Tested, runs: dict[str, Config], index: AnnotationIndex) -> Contestant:
    """Parameters are of all nets together; multiply-adds of one plain pass of each."""
    costs = [detector_cost(runs[cell], len(index.class_names), index) for cell in row.cells]
    total = Cost(
        sum(cost.parameters for cost in costs),
        sum(cost.multiply_adds for cost in costs),
        costs[0].size,
        costs[0].regions,
        tested.milliseconds,
    )
    return Contestant(row.name, str(tested.file), tested.results, total)


def to_json(found: Reproduction) -> dict[str, Any]:
    """The numbers, with `slower` beside the comparison."""
    return {**found.comparison.to_json(), "slower": found.slower, "rows_tested": [dataclasses.asdict(r) for r in ROWS]}
