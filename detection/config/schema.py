"""Every setting of the toolkit, with its unit, its range and its default.

Values are plain; `detection/model/build.py`, `detection/data/dataset.py`, `detection/engine/` and `detection/cli/` read
them, nothing else knows them. Ranges and combinations are checked in `validate.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from detection.config.training import TrainConfig


@dataclass
class DatasetConfig:
    """Which annotations, and what happens to bad ones."""

    format: Literal[
        "auto",
        "coco",
        "voc",
        "yolo",
        "cvat",
        "datumaro",
        "labelstudio",
        "via",
        "createml",
        "huggingface",
        "csv",
        "supervisely",
        "labelme",
        "wider",
    ] = "auto"
    """format of the annotations; auto looks at the files"""
    train: str = "train"
    """split to learn from"""
    val: str | None = "val"
    """split for validation; where the data has none of this name, `val_fraction` of the training split is held out"""
    images: str | None = None
    """folder of the images, where it is not beside the annotations"""
    val_fraction: float = 0.2
    """share of the images held out when there is no validation split, 0 to 1"""
    val_salt: int | None = None
    """with the content of an image decides whether it is held out; default one whose parts have the same classes"""
    invalid: Literal["error", "skip"] = "error"
    """a bad image or box: stop, or leave it out, count it and say so"""


@dataclass
class InputConfig:
    """Images on their way into the network."""

    train_short_sides: list[int] = field(default_factory=lambda: [640, 672, 704, 736, 768, 800])
    """shorter side of training images in pixels; one is drawn for each batch"""
    test_short_side: int = 800
    """shorter side in evaluation, pixels"""
    long_side: int = 1333
    """limit of the longer side, pixels"""
    augment: list[dict[str, Any]] = field(default_factory=lambda: [{"name": "HorizontalFlip", "p": 0.5}])
    """albumentations transforms in order, each a `name` with its arguments"""
    min_visibility: float = 0.1
    """an object of which augmentation leaves less than this share of its area, 0 to 1, becomes an ignored region"""
    min_side: float = 1.0
    """a box is dropped when a side is shorter than this after clipping, pixels of the original image"""
    group_by_aspect: bool = True
    """batches hold images that are all wide or all tall, which saves padding"""
    grey_bits: int = 16
    """bits that count in 16-bit grey images, 8 to 16: 12 for scanners and cameras whose values end at 4095"""
    workers: int | None = None
    """processes that load images, for each process that trains; 0 loads in that one; default by cores and device"""
    skip_unreadable: int = 0
    """training images of the whole run that others stand in for when they cannot be read; one more stops it"""


@dataclass
class AnchorConfig:
    """Reference boxes of the RPN."""

    sizes: list[list[float]] | None = None
    """per level, square roots of the anchors' areas in pixels; default by architecture"""
    ratios: list[float] = field(default_factory=lambda: [0.5, 1.0, 2.0])
    """height / width"""
    offset: float = 0.0
    """centre of the first anchor in strides: 0 (detectron2, torchvision) or 0.5"""
    rounded: bool = False
    """edges rounded to whole pixels, as in torchvision"""


@dataclass
class RPNConfig:
    """Region proposal network."""

    positive_iou: float = 0.7
    negative_iou: float = 0.3
    batch_per_image: int = 256
    """anchors sampled an image"""
    positive_fraction: float = 0.5
    nms: float = 0.7
    min_side: float = 0.0
    """proposals must be longer on both sides, pixels of the network's input"""
    train_before_nms: int | None = None
    """proposals a level before suppression; default 2000 with a pyramid, 12000 without"""
    train_after_nms: int | None = None
    """proposals an image after suppression; default 1000 with a pyramid, 2000 without"""
    test_before_nms: int | None = None
    """default 1000 with a pyramid, 6000 without"""
    test_after_nms: int = 1000
    box_loss: Literal["smooth_l1", "giou"] = "smooth_l1"
    beta: float = 0.0
    """smooth-L1 is quadratic below this; 0 is L1"""


@dataclass
class RoIConfig:
    """Second stage."""

    pool: Literal["align", "align_legacy", "pool"] = "align"
    """RoIAlign with or without the half-pixel correction, or RoIPool"""
    sampling_ratio: int = 0
    """points per bin and axis of RoIAlign; 0 adapts to the region"""
    positive_iou: float = 0.5
    batch_per_image: int = 512
    """regions sampled an image"""
    positive_fraction: float = 0.25
    append_truth: bool = True
    """the ground truth boxes are among the training proposals"""
    hidden: int = 1024
    """width of fc6 and fc7 (architectures fpn and dc5)"""
    dropout: float = 0.5
    """after fc6 and fc7 of architecture vgg16"""
    class_agnostic: bool = False
    """one box regression for all classes"""
    context: bool = False
    """a feature of the whole image, through the same head, beside each region's"""
    box_loss: Literal["smooth_l1", "giou"] = "smooth_l1"
    beta: float = 0.0
    score: float = 0.05
    """detections score above this"""
    nms: float = 0.5
    """IoU above which the weaker of two detections of a class is dropped"""
    detections: int = 100
    """detections an image, at most"""


@dataclass
class ModelConfig:
    """The network."""

    architecture: Literal["fpn", "c4", "dc5", "vgg16"] = "fpn"
    backbone: Literal[
        "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "plain18", "plain34", "vgg16", "vgg16_bn"
    ] = "resnet50"
    """vgg16 and vgg16_bn, the same with norms, go with architecture vgg16, the others with the other three; plain nets
    are ResNets without shortcuts, whose weights `frcnn pretrain` makes"""
    weights: str | None = "IMAGENET1K_V1"
    """torchvision's name of backbone weights, a file with backbone weights or a detector's checkpoint; null: none"""
    norm: Literal["auto", "frozen", "batch", "sync", "group"] = "auto"
    """auto: frozen with weights, batch without; vgg16 has none"""
    freeze: int | None = None
    """stages frozen, 1 (the stem) to 5; default 2 with weights, 0 without"""
    stride_in_1x1: bool = False
    """bottlenecks halve the map in their first 1x1 (the paper, Caffe weights) instead of the 3x3 (torchvision)"""
    width: int = 64
    """channels of the stem; 64 in the papers, less for small nets from scratch"""
    fpn_channels: int = 256
    rematerialise: bool = False
    """keep few activations of the backbone in training and compute the others again: less memory, more time"""
    anchors: AnchorConfig = field(default_factory=AnchorConfig)
    rpn: RPNConfig = field(default_factory=RPNConfig)
    roi: RoIConfig = field(default_factory=RoIConfig)


@dataclass
class DetectorTrainConfig(TrainConfig):
    """Optimisation, evaluation during training, and what is written."""

    mode: Literal["joint", "alternating"] = "joint"
    """joint: RPN and second stage at once; alternating: the four steps of Faster R-CNN, section 3.2"""
    step_shares: list[float] = field(default_factory=lambda: [1.0, 0.5, 1.0, 0.5])
    """shares of `iterations` or `epochs` that the four steps take (mode alternating)"""
    metric: Literal["AP", "AP50", "AP75", "loss"] = "AP"
    """what `best.pt` and early stopping look at; loss is the validation loss"""
    pictures: int = 4
    """validation images drawn at each evaluation"""


@dataclass
class EvaluateConfig:
    """Evaluation."""

    backend: Literal["hotcoco", "pycocotools"] = "hotcoco"
    batch: int = 1
    """images at once; padding makes results depend on it, so published numbers use 1"""


@dataclass
class Config:
    """One experiment."""

    data: str | None = None
    """dataset: a folder or annotation file (COCO JSON, PASCAL VOC, YOLO), or `shapes`, the embedded one"""
    output: str = "runs/train"
    """folder of everything a run writes"""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps"""
    processes: int = 1
    """processes on this machine that share out each batch, each on a GPU of its own; torchrun sets its own number"""
    seed: int = 0
    resume: bool = False
    """go on from the last checkpoint in `output`"""
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    input: InputConfig = field(default_factory=InputConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: DetectorTrainConfig = field(default_factory=DetectorTrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
