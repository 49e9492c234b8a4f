"""What He et al. 2015 (arXiv 1512.03385) report of detection, tables 7 to 12, to stand beside one's own numbers.

Percent, as printed. Tables 10 and 11 are given without their columns of single classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from detection.errors import InputError
from detection.markdown import markdown_table


@dataclass(frozen=True)
class PaperRow:
    """name: of the system; tested: the images; values: measure -> percent."""

    name: str
    tested: str
    values: dict[str, float]


@dataclass(frozen=True)
class PaperTable:
    """One published table.

    trained: the training images; metric: `coco` or `voc`, whose measures the values are named by; differs: what a
    reader must know before comparing.
    """

    number: int
    title: str
    trained: str
    metric: str
    rows: tuple[PaperRow, ...]
    differs: str


TEST_TIME = (
    "The paper trains from ImageNet-classification weights on 8 GPUs and, in the baseline, tests at a shorter side of "
    "600 pixels with stage 5 of the ResNet on each region (no pyramid)"
)
VOC_07, VOC_12 = "VOC 2007 test", "VOC 2012 test"
POINTS, AREA = "AP 11-point", "AP area"
VOC_DIFFERS = f"{TEST_TIME}. Its VOC 2012 numbers come from the evaluation server, whose annotations are not public."
COCO_DIFFERS = f"{TEST_TIME}. COCO val is the 40k images of 2014, of which val2017 is an eighth."


def _coco(name: str, tested: str, ap50: float, ap: float) -> PaperRow:
    return PaperRow(name, tested, {"AP": ap, "AP50": ap50})


PAPER_TABLES = {
    table.number: table
    for table in (
        PaperTable(
            7,
            "Object detection mAP (%) on the PASCAL VOC 2007/2012 test sets using baseline Faster R-CNN",
            "07+12 for VOC 2007 test, 07++12 for VOC 2012 test",
            "voc",
            (
                PaperRow("VGG-16, 07+12", VOC_07, {POINTS: 73.2}),
                PaperRow("ResNet-101, 07+12", VOC_07, {POINTS: 76.4}),
                PaperRow("VGG-16, 07++12", VOC_12, {AREA: 70.4}),
                PaperRow("ResNet-101, 07++12", VOC_12, {AREA: 73.8}),
            ),
            VOC_DIFFERS,
        ),
        PaperTable(
            8,
            "Object detection mAP (%) on the COCO validation set using baseline Faster R-CNN",
            "COCO train, 80k images",
            "coco",
            (_coco("VGG-16", "COCO val", 41.5, 21.2), _coco("ResNet-101", "COCO val", 48.4, 27.2)),
            COCO_DIFFERS,
        ),
        PaperTable(
            9,
            "Object detection improvements on MS COCO using Faster R-CNN and ResNet-101",
            "COCO train (80k images) for val, trainval for test-dev",
            "coco",
            (
                _coco("baseline Faster R-CNN (VGG-16)", "COCO val", 41.5, 21.2),
                _coco("baseline Faster R-CNN (ResNet-101)", "COCO val", 48.4, 27.2),
                _coco("+box refinement", "COCO val", 49.9, 29.9),
                _coco("+context", "COCO val", 51.1, 30.0),
                _coco("+context", "COCO test-dev", 53.3, 32.2),
                _coco("+multi-scale testing", "COCO val", 53.8, 32.5),
                _coco("+multi-scale testing", "COCO test-dev", 55.7, 34.9),
                _coco("ensemble", "COCO test-dev", 59.0, 37.4),
            ),
            f"{COCO_DIFFERS} Rows with + add to the row before; test-dev rows are trained on 40k images more.",
        ),
        PaperTable(
            10,
            "Detection results on the PASCAL VOC 2007 test set",
            "07+12; baseline+++ is pre-trained on COCO and adds what table 9 adds",
            "voc",
            (
                PaperRow("baseline VGG-16, 07+12", VOC_07, {POINTS: 73.2}),
                PaperRow("baseline ResNet-101, 07+12", VOC_07, {POINTS: 76.4}),
                PaperRow("baseline+++ ResNet-101, COCO+07+12", VOC_07, {POINTS: 85.6}),
            ),
            VOC_DIFFERS,
        ),
        PaperTable(
            11,
            "Detection results on the PASCAL VOC 2012 test set",
            "07++12; baseline+++ is pre-trained on COCO and adds what table 9 adds",
            "voc",
            (
                PaperRow("baseline VGG-16, 07++12", VOC_12, {AREA: 70.4}),
                PaperRow("baseline ResNet-101, 07++12", VOC_12, {AREA: 73.8}),
                PaperRow("baseline+++ ResNet-101, COCO+07++12", VOC_12, {AREA: 83.8}),
            ),
            VOC_DIFFERS,
        ),
        PaperTable(
            12,
            "Results (mAP, %) on the ImageNet detection dataset, with the improvements of table 9 and ResNet-101",
            "ImageNet detection, 200 classes",
            "voc",
            (
                PaperRow("GoogLeNet (ILSVRC'14)", "ImageNet DET test", {AREA: 43.9}),
                PaperRow("single model (ILSVRC'15)", "ImageNet DET val2", {AREA: 60.5}),
                PaperRow("single model (ILSVRC'15)", "ImageNet DET test", {AREA: 58.8}),
                PaperRow("ensemble (ILSVRC'15)", "ImageNet DET val2", {AREA: 63.6}),
                PaperRow("ensemble (ILSVRC'15)", "ImageNet DET test", {AREA: 62.1}),
            ),
            f"{TEST_TIME}. ImageNet's AP is the area under the curve, with a lower IoU threshold for small objects.",
        ),
    )
}


def paper_table(number: int, metric: str) -> PaperTable:
    """The table of this number. Raises InputError where there is none, or where its numbers are of another metric."""
    if number not in PAPER_TABLES:
        raise InputError(
            f"the paper's table {number} does not show detection results; choose one of "
            f"{', '.join(map(str, PAPER_TABLES))}"
        )
    table = PAPER_TABLES[number]
    if table.metric != metric:
        raise InputError(
            f"the paper's table {number} is measured by {table.metric.upper()}'s AP, not {metric.upper()}'s; "
            f"add --metric {table.metric}"
        )
    return table


def paper_markdown(table: PaperTable, measures: Sequence[str]) -> str:
    """The rows as a Markdown table with columns system, images and `measures`, those empty that it does not give."""
    rows = [[row.name, row.tested, *(_cell(row.values.get(name)) for name in measures)] for row in table.rows]
    return markdown_table(["paper", "tested on", *measures], rows, "ll" + "r" * len(measures))


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
