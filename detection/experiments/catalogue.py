"""Every table and figure of He et al. 2015: the command that makes it, and what it costs at full scale.

Hours are estimates, multiply-adds over a rate that was measured; nobody has run these trainings with this toolkit.
"""

from __future__ import annotations

from dataclasses import dataclass

import yaml

from backbones.analysis.complexity import PAPER
from backbones.nets import NetName
from detection.config.schema import DetectorTrainConfig
from detection.config.shipped import FOLDER

RATE = 1.3e13
"""Multiply-adds a second of training on one H100 in bf16: 51 images a second of ResNet-50-FPN at 640 pixels, 3 x 84e9
multiply-adds each (results/gpu/gpu_check.md)."""

LAYER_SECONDS = 1e-4
"""Least time of a layer in a step, forward, backward and update: ten kernels of 10 microseconds, however small.
No CIFAR net has arithmetic for more."""

HARDWARE = """\
Hours: of one H100 of 80 GB, trainings alone, with --train.amp bf16; estimated from multiply-adds and the rate that
training ResNet-50-FPN reached there; nobody has run them. Images must be read as fast.
torchrun divides the hours by the number of GPUs at best. At reduced scale: --scale mini, and docs/results.md."""

DETECTOR_MULTIPLY_ADDS = {"vgg16": 166e9, "resnet101": 178e9}
"""Of one forward pass over a training image of 600 x 800 pixels with 128 regions, by `detector_cost`."""

ON_IMAGENET, ON_CIFAR = "configs/imagenet/paper.yaml", "configs/cifar10/paper.yaml"
IMAGENET = ("plain18", "plain34", "resnet18", "resnet34")
CIFAR_PLAIN = ("cifar_plain20", "cifar_plain32", "cifar_plain44", "cifar_plain56")
CIFAR_RESIDUAL = ("cifar_resnet20", "cifar_resnet32", "cifar_resnet44", "cifar_resnet56", "cifar_resnet110")
CELLS = ("vgg16", "resnet101", "resnet101_context", "resnet101_second", "resnet101_third")
"""Detectors that table 7 or 8 trains: `configs/paper/voc_CELL.yaml` and `coco_CELL.yaml`."""


@dataclass(frozen=True)
class Published:
    """A table or figure of the paper.

    name: as `table7`; shows: what it shows; command: what makes ours, "" where the toolkit cannot; trains: (config,
    net) of each training that it takes, the net "" where the config names it; needs: the name whose trainings it takes
    besides; note: what is left out, or why.
    """

    name: str
    shows: str
    command: str = ""
    trains: tuple[tuple[str, str], ...] = ()
    needs: str = ""
    note: str = ""

    def hours(self) -> float:
        """Estimated hours of training on one H100, without what `needs` has trained; 0 where nothing is trained."""
        return sum(_seconds(config, net) for config, net in self.trains) / 3600


def _seconds(config: str, net: str) -> float:
    settings = yaml.safe_load((FOLDER.parent / config).read_text())
    length = settings["train"]["iterations"], settings["train"]["batch"]
    if net:
        return length[0] * _step_seconds(net, length[1])
    steps = settings["train"].get("step_shares", DetectorTrainConfig().step_shares)  # of alternating training
    images = length[0] * length[1] * sum(steps)
    return 3 * DETECTOR_MULTIPLY_ADDS[settings["model"]["backbone"]] * images / RATE


def _step_seconds(net: str, batch: int) -> float:
    parsed = NetName.parse(net)
    arithmetic = 0.0 if parsed.cifar else 3e9 * (PAPER[net].multiply_adds or 0) * batch / RATE
    return max(arithmetic, LAYER_SECONDS * parsed.depth)


def _curves(nets: tuple[str, ...], config: str, *more: str) -> str:
    return f"frcnn degradation --nets {' '.join(nets)} --config {config} {' '.join(more)}"


def _each(config: str, *nets: str) -> tuple[tuple[str, str], ...]:
    return tuple((config, net) for net in nets)


def _detectors(data: str, *cells: str) -> tuple[tuple[str, str], ...]:
    return tuple((f"configs/paper/{data}_{cell}.yaml", "") for cell in cells)


DRAWING = "a drawing; nothing is measured in it"
ABSENT = "not in this toolkit: data preparation, metric and per-class RPN are missing"

PUBLISHED = (
    Published("table1", "architectures for ImageNet", "frcnn summary"),
    Published(
        "table2",
        "ImageNet, plain against residual, 18 and 34 layers",
        _curves(IMAGENET, ON_IMAGENET, "--data IMAGENET", "--net.shortcut A"),
        _each(ON_IMAGENET, *IMAGENET),
        note="then frcnn classify --view 10-crop",
    ),
    Published(
        "table3",
        "ImageNet, 10 crops: shortcuts A, B, C; 50 to 152 layers",
        _curves(("resnet34:B", "resnet34:C", "resnet50", "resnet101", "resnet152"), ON_IMAGENET, "--data IMAGENET"),
        _each(ON_IMAGENET, "resnet34", "resnet34", "resnet50", "resnet101", "resnet152"),
        needs="table2",
        note="then frcnn classify --view 10-crop",
    ),
    Published(
        "table4",
        "ImageNet, single nets at several scales",
        "frcnn classify runs/imagenet-paper/best.pt --view multi-scale",
        needs="table3",
    ),
    Published(
        "table5",
        "ImageNet, an ensemble of six",
        "frcnn classify runs/a/best.pt runs/b/best.pt --view multi-scale",
        _each(ON_IMAGENET, "resnet152"),
        needs="table3",
        note="the test server's labels are not public: on val",
    ),
    Published(
        "table6",
        "CIFAR-10, 20 to 1202 layers",
        f"frcnn pretrain --config {ON_CIFAR} --net.name cifar_resnet56 --data CIFAR10",
        _each("configs/cifar10/resnet110.yaml", *["cifar_resnet110"] * 5),
        needs="figure6",
        note="110 layers five times, by --seed, with configs/cifar10/resnet110.yaml",
    ),
    Published(
        "table7",
        "PASCAL VOC, VGG-16 against ResNet-101",
        "frcnn reproduce table7 --data VOC0712",
        _detectors("voc", *CELLS),
    ),
    Published(
        "table8", "COCO, VGG-16 against ResNet-101", "frcnn reproduce table8 --data COCO", _detectors("coco", *CELLS)
    ),
    Published(
        "table9",
        "COCO, improvements and the ensemble",
        "frcnn reproduce table8 --data COCO",
        needs="table8",
        note="its rows stand in table8's",
    ),
    Published(
        "table10",
        "VOC 2007 from the COCO model",
        "frcnn train --config configs/paper/voc_resnet101_context.yaml --data VOC0712"
        " --weights runs/table8_full/runs/coco_resnet101_context/best.pt",
        _detectors("voc", "resnet101_context"),
        needs="table8",
        note="then frcnn evaluate --refine --scales 200 400 600 800 1000; the authors do not tell this schedule",
    ),
    Published(
        "table11",
        "VOC 2012 from the COCO model",
        "frcnn submit --predictions predictions.json --data VOC2012 --split test --kind voc",
        _detectors("voc", "resnet101_context"),
        needs="table8",
        note="trained as table 10, on 07++12; only the VOC server has the truth",
    ),
    Published("table12", "ImageNet detection", note=ABSENT),
    Published("table13", "ImageNet localisation, on val", note=ABSENT),
    Published("table14", "ImageNet localisation, compared", note=ABSENT),
    Published(
        "figure1",
        "CIFAR-10, plain nets degrade",
        _curves(("cifar_plain20", "cifar_plain56"), ON_CIFAR, "--data CIFAR10"),
        _each(ON_CIFAR, "cifar_plain20", "cifar_plain56"),
    ),
    Published("figure2", "a residual block", note=DRAWING),
    Published("figure3", "VGG-19, plain-34, ResNet-34", note=DRAWING),
    Published(
        "figure4",
        "ImageNet, curves of plain and residual nets",
        _curves(IMAGENET, ON_IMAGENET, "--data IMAGENET", "--net.shortcut A"),
        needs="table2",
    ),
    Published("figure5", "block and bottleneck", note=DRAWING),
    Published(
        "figure6",
        "CIFAR-10, curves; 110 and 1202 layers",
        _curves((*CIFAR_PLAIN, *CIFAR_RESIDUAL), ON_CIFAR, "--data CIFAR10"),
        _each(ON_CIFAR, *CIFAR_PLAIN, *CIFAR_RESIDUAL, "cifar_resnet1202"),
        note="1202 layers apart: --nets cifar_resnet1202 --net.rematerialise true",
    ),
    Published(
        "figure7",
        "CIFAR-10, responses of layers",
        "frcnn responses runs/cifar10/cifar_resnet56/best.pt --data CIFAR10",
        needs="figure6",
    ),
)
