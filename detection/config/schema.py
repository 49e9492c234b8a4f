"""Every setting of the toolkit, with its unit, its range and its default.

Values are plain. `tests/test_layers.py` names the few rooms that see them; modules take plain arguments. Rules between
settings are checked in `validate.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_type_hints

from detection.config.ranges import ranged
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
    """folder of the images, here or at an address, where it is not beside the annotations"""
    val_fraction: float = ranged(0.2, "(0, 1)")
    """share of the images held out when there is no validation split"""
    val_salt: int | None = None
    """with the content of an image decides whether it is held out; default one whose parts have the same classes"""
    repeat_factor: float = ranged(0.0, "[0, 1]")
    """images of classes that are in less than this share of the images come more often, by the root of the ratio (Gupta
    et al. 2019); 0: every image once an epoch"""
    invalid: Literal["error", "skip"] = "error"
    """a bad image or box: stop, or leave it out, count it and say so"""
    classes: list[str] | None = None
    """classes to learn, in this order; objects of others are background; default all"""
    merge: list[str] = field(default_factory=list)
    """`car=vehicle` each: objects of the first class are counted as the second, which may be new"""
    single_class: bool = False
    """all objects are of one class, called object"""
    unlabelled: str | None = None
    """file of images on which some classes were not annotated, JSON {image: [class, ...]} or rows of image,class,...;
    these classes are neither taught as background there nor scored"""


FORMATS: tuple[str, ...] = get_args(get_type_hints(DatasetConfig)["format"])
"""auto, and the formats that are read"""


@dataclass
class InputConfig:
    """Images on their way into the network."""

    train_short_sides: list[int] = ranged([640, 672, 704, 736, 768, 800], "[32, inf)")
    """shorter side of training images in pixels; one is drawn for each batch"""
    test_short_side: int = ranged(800, "[32, inf)")
    """shorter side in evaluation, pixels"""
    long_side: int = ranged(1333, "[32, inf)")
    """limit of the longer side, pixels"""
    augment: list[dict[str, Any]] = field(default_factory=lambda: [{"name": "HorizontalFlip", "p": 0.5}])
    """albumentations transforms in order, each a `name` with its arguments"""
    min_visibility: float = ranged(0.1, "[0, 1)")
    """an object of which augmentation leaves less than this share of its area becomes an ignored region"""
    min_side: float = ranged(1.0, "[0, inf)")
    """a box is dropped when a side is shorter than this after clipping, pixels of the original image"""
    group_by_aspect: bool = True
    """batches hold images that are all wide or all tall, which saves padding"""
    tile: int | None = ranged(None, "[32, inf)")
    """side in pixels of the tiles of larger images that are trained on, beside the whole images; evaluation, prediction
    and serving look at the same; null: whole images alone"""
    tile_overlap: float = ranged(0.2, "[0, 0.8]")
    """share of their side that neighbouring tiles have in common; an object that is smaller is whole in one of them"""
    tile_visible: float = ranged(0.7, "[0, 1]")
    """an object of which a tile shows less than this share of its area is an ignored region there; 0.7 in DOTA's kit"""
    tile_empty: float = ranged(0.1, "[0, 1]")
    """share of the tiles without objects that an epoch has, others in each"""
    grey_bits: int = ranged(16, "[8, 16]")
    """bits that count in 16-bit images: 12 for scanners and cameras whose values end at 4095"""
    workers: int | None = ranged(None, "[0, inf)")
    """processes that load images, for each process that trains; 0 loads in that one; default by cores and device"""
    skip_unreadable: int = ranged(0, "[0, inf)")
    """training images of the whole run that others stand in for when they cannot be read; one more stops it"""


@dataclass
class AnchorConfig:
    """Reference boxes of the RPN."""

    sizes: list[list[float]] | None = ranged(None, "(0, inf)")
    """per level, square roots of the anchors' areas in pixels; default by architecture"""
    ratios: list[float] = ranged([0.5, 1.0, 2.0], "(0, inf)")
    """height / width of the anchors"""
    offset: float = ranged(0.0, "[0, 1)")
    """centre of the first anchor in strides: 0 (detectron2, torchvision) or 0.5"""
    rounded: bool = False
    """edges rounded to whole pixels, as in torchvision"""
    classic: bool = False
    """shapes rounded to whole pixels at a size of 16 and then enlarged, as in py-faster-rcnn"""


@dataclass
class RPNConfig:
    """Region proposal network."""

    positive_iou: float = ranged(0.7, "[0, 1]")
    """an anchor with at least this IoU to an object learns to propose it, as does each object's best anchor"""
    negative_iou: float = ranged(0.3, "[0, 1]")
    """an anchor with less IoU than this to every object learns that it is background"""
    inside: bool = False
    """anchors that cross the edge of the image take no part in training, as in the Faster R-CNN paper"""
    convolutions: int = ranged(1, "[1, inf)")
    """3x3 convolutions before the two of scores and boxes"""
    batch_per_image: int = ranged(256, "[1, inf)")
    """anchors sampled an image"""
    positive_fraction: float = ranged(0.5, "[0, 1]")
    """largest share of the sampled anchors that are objects"""
    nms: float = ranged(0.7, "[0, 1]")
    """IoU above which the weaker of two proposals of a level is dropped"""
    min_side: float = ranged(0.0, "[0, inf)")
    """proposals must be longer on both sides, pixels of the network's input"""
    train_before_nms: int | None = ranged(None, "[1, inf)")
    """proposals a level before suppression; default 2000 with a pyramid, 12000 without"""
    train_after_nms: int | None = ranged(None, "[1, inf)")
    """proposals an image after suppression; default 1000 with a pyramid, 2000 without"""
    test_before_nms: int | None = ranged(None, "[1, inf)")
    """proposals a level before suppression, in evaluation and prediction; default 1000 with a pyramid, 6000 without"""
    test_after_nms: int = ranged(1000, "[1, inf)")
    """proposals an image after suppression, in evaluation and prediction"""
    box_loss: Literal["smooth_l1", "giou"] = "smooth_l1"
    """loss of the box regression; giou is the generalised IoU loss (Rezatofighi et al. 2019)"""
    beta: float = ranged(0.0, "[0, inf)")
    """smooth-L1 is quadratic below this; 0 is L1"""


@dataclass
class RoIConfig:
    """Second stage."""

    pool: Literal["align", "align_legacy", "pool"] = "align"
    """RoIAlign with or without the half-pixel correction, or RoIPool"""
    sampling_ratio: int = ranged(0, "[0, inf)")
    """points per bin and axis of RoIAlign; 0 adapts to the region"""
    positive_iou: float = ranged(0.5, "[0, 1]")
    """a region with at least this IoU to an object learns its class; any other learns background"""
    background_iou: float = ranged(0.0, "[0, 1]")
    """a region with less IoU than this to every object takes no part in training; 0.1 in Fast R-CNN"""
    batch_per_image: int = ranged(512, "[1, inf)")
    """regions sampled an image"""
    positive_fraction: float = ranged(0.25, "[0, 1]")
    """largest share of the sampled regions that are objects"""
    append_truth: bool = True
    """the ground truth boxes are among the training proposals"""
    convolutions: int = ranged(0, "[0, inf)")
    """3x3 convolutions before fc6, which then is the only such layer (architectures fpn and dc5); 0: fc6 and fc7"""
    hidden: int = ranged(1024, "[1, inf)")
    """width of fc6 and fc7 (architectures fpn and dc5)"""
    dropout: float = ranged(0.5, "[0, 1]")
    """after fc6 and fc7 of architecture vgg16"""
    class_agnostic: bool = False
    """one box regression for all classes"""
    context: bool = False
    """a feature of the whole image, through the same head, beside each region's"""
    box_loss: Literal["smooth_l1", "giou"] = "smooth_l1"
    """loss of the box regression; giou is the generalised IoU loss (Rezatofighi et al. 2019)"""
    beta: float = ranged(0.0, "[0, inf)")
    """smooth-L1 is quadratic below this; 0 is L1"""
    score: float = ranged(0.05, "[0, 1]")
    """detections score above this"""
    nms: float = ranged(0.5, "[0, 1]")
    """IoU above which the weaker of two detections of a class is dropped"""
    detections: int = ranged(100, "[1, inf)")
    """detections an image, at most"""


@dataclass
class ModelConfig:
    """The network."""

    architecture: Literal["fpn", "c4", "dc5", "vgg16"] = "fpn"
    """fpn: feature pyramid; c4: one map of stride 16, stage 5 in the head (the ResNet paper); dc5: dilated stage 5;
    vgg16: the net of the Faster R-CNN paper"""
    backbone: Literal[
        "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "plain18", "plain34", "vgg16", "vgg16_bn"
    ] = "resnet50"
    """vgg16 and vgg16_bn (with batch norms) go with architecture vgg16, the others with the other three; plain nets are
    ResNets without shortcuts, for which `frcnn pretrain` makes weights"""
    weights: str | None = "IMAGENET1K_V1"
    """torchvision's name of backbone weights, a file with backbone weights or a detector's checkpoint; null: none"""
    norm: Literal["auto", "frozen", "batch", "sync", "group"] = "auto"
    """auto: frozen with weights, batch without; vgg16 has none"""
    freeze: int | None = ranged(None, "[0, 5]")
    """stages whose weights stay as they are, counted from the stem, which is 1; default 2 with weights, 0 without"""
    stride_in_1x1: bool = False
    """bottlenecks halve the map in their first 1x1 (the paper, Caffe weights) instead of the 3x3 (torchvision)"""
    ceil_pool: bool = False
    """pools round sizes up, a ResNet's without padding, as in Caffe, whose weights (.caffemodel) were trained so"""
    width: int = ranged(64, "[4, inf)")
    """channels of the stem; 64 in the papers, less for small nets from scratch"""
    fpn_channels: int = ranged(256, "[1, inf)")
    """channels of each level of the pyramid (architecture fpn)"""
    head_norm: Literal["none", "frozen", "batch", "group"] = "none"
    """norm behind the convolutions of the pyramid and of the box head (architectures fpn and dc5); torchvision's
    fasterrcnn_resnet50_fpn_v2 has batch"""
    rematerialise: bool = False
    """keep few activations of the backbone in training and compute the others again: less memory, more time"""
    anchors: AnchorConfig = field(default_factory=AnchorConfig)
    rpn: RPNConfig = field(default_factory=RPNConfig)
    roi: RoIConfig = field(default_factory=RoIConfig)


@dataclass
class DetectorTrainConfig(TrainConfig):
    """Optimisation, evaluation during training, and what is written."""

    batch: int = ranged(16, "[1, inf)")
    """images an optimiser step sees, over all processes and accumulation steps; `--batch auto`: as many as a GPU has
    memory for, measured before the start"""
    mode: Literal["joint", "alternating"] = "joint"
    """joint: RPN and second stage at once; alternating: the four steps of Faster R-CNN, section 3.2"""
    step_shares: list[float] = ranged([1.0, 0.5, 1.0, 0.5], "(0, inf)")
    """shares of `iterations` or `epochs` that the four steps take (mode alternating)"""
    metric: Literal["AP", "AP50", "AP75", "loss"] = "AP"
    """what `best.pt` and early stopping look at; loss is the validation loss"""
    pictures: int = ranged(4, "[0, inf)")
    """validation images drawn at each evaluation, beside the first three training batches; 0: none of either"""


@dataclass
class EvaluateConfig:
    """Evaluation."""

    backend: Literal["hotcoco", "pycocotools"] = "hotcoco"
    """library that computes COCO's numbers; both give the same, hotcoco in a hundredth of the time"""
    batch: int = ranged(1, "[1, inf)")
    """images at once; padding makes results depend on it, so published numbers use 1"""
    report: bool = True
    """`frcnn train` ends with a report on the validation split: what is wrong with the best weights, and why"""


@dataclass
class Config:
    """One experiment."""

    data: str | None = None
    """dataset: a folder, annotation file or archive, here or at an address such as s3://..., or `shapes`, the embedded
    one"""
    output: str = "runs/train"
    """folder of everything a run writes"""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps"""
    processes: int = ranged(1, "[1, inf)")
    """processes on this machine that share out each batch, each on a GPU of its own; torchrun sets its own number"""
    seed: int = ranged(0, "[0, 4294967295]")
    """of all that is random: first weights, order of the images, augmentation, sampling"""
    resume: bool = False
    """continue from the last checkpoint in `output`"""
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    input: InputConfig = field(default_factory=InputConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: DetectorTrainConfig = field(default_factory=DetectorTrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
