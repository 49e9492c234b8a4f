"""Settings of the training of a classifier; the defaults are the ImageNet recipe of He et al. 2015, section 3.4."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from detection.config.ranges import ranged
from detection.config.training import TrainConfig


@dataclass
class ClassDatasetConfig:
    """Which images of the data are learned from, and which are looked at."""

    train: str = "train"
    """split to learn from"""
    val: str | None = "val"
    """split for validation; where the data has none of this name, images of the training split are held out"""
    hold_out: int | None = ranged(None, "[1, inf)")
    """images held out when there is no validation split; default a tenth"""
    hold_out_salt: int | None = None
    """with the content of an image decides whether it is held out; default the seed that the run begins with"""
    test: str | None = "test"
    """split whose error is measured once, at the end, where the data has it and validation does not use it"""


@dataclass
class CropConfig:
    """Images on their way into the network."""

    augment: Literal["scale", "area", "pad"] = "scale"
    """scale: shorter side drawn from `short_sides`, random crop; area: random share of the picture; pad: CIFAR's"""
    crop: int = ranged(224, "[8, inf)")
    """side of the network's input, pixels"""
    short_sides: list[int] = ranged([256, 480], "[1, inf)")
    """smallest and largest shorter side, pixels (augment scale)"""
    pad: int = ranged(4, "[0, inf)")
    """pixels added on each side before the crop (augment pad)"""
    flip: bool = True
    """half of the images are mirrored"""
    pca: float = ranged(0.1, "[0, inf)")
    """standard deviation of the colour augmentation along ImageNet's principal components; 0: off"""
    workers: int | None = ranged(None, "[0, inf)")
    """processes that load images, where they are not held in memory; default by cores and device"""


@dataclass
class NetConfig:
    """The network."""

    name: str = "resnet50"
    """resnet18 to resnet152, plain18 to plain152, preact_resnet18 to preact_resnet200, vgg16, vgg16_bn; for 32 pixels
    cifar_resnetN, cifar_plainN and cifar_preact_resnetN with N = 6n+2, cifar_preact_bottleneckN with N = 9n+2"""
    shortcut: Literal["A", "B", "C"] | None = None
    """A: zero-padded identity, B: projection where the size changes, C: all projections; default A for CIFAR
    without bottlenecks, else B"""
    width: int | None = ranged(None, "[1, inf)")
    """channels of the stem, for vgg16 of conv1_x; default 64, for CIFAR 16"""
    norm: Literal["batch", "sync", "group"] = "batch"
    """norm of each convolution: after it, in pre-activation nets before it; vgg16 has none"""
    stride_in_1x1: bool = False
    """bottlenecks halve the map in their first 1x1 (the paper) instead of the 3x3 (torchvision)"""
    rematerialise: bool = False
    """keep few activations and compute the others again: less memory, a third more time; not for vgg16"""
    ceil_pool: bool = False
    """pools of ResNets and vgg16 round sizes up, a ResNet's without padding, as in Caffe"""
    fan_in: bool = False
    """convolutions begin with a variance of 2 / fan-in (the paper, Caffe) instead of 2 / fan-out (fb.resnet.torch,
    torchvision); vgg16 always does"""
    weights: str | None = None
    """file with weights to begin from; null: random ones"""


@dataclass
class ClassifierTrainConfig(TrainConfig):
    """Optimisation, and how often it is looked at."""

    batch: int = ranged(256, "[1, inf)")
    """images an optimiser step sees, over all processes and accumulation steps"""
    lr: float = ranged(0.1, "(0, inf)")
    """learning rate at this batch size"""
    norm_decay: float = ranged(1e-4, "[0, inf)")
    """weight decay of norm layers' parameters"""
    steps: list[float] = ranged([0.5, 0.75], "(0, 1)")
    """shares of the run after which the rate drops"""
    warmup: int = ranged(0, "[0, inf)")
    """iterations of linear warm-up; cut to a quarter of a short run"""
    warmup_factor: float = ranged(0.1, "[0, inf)")
    """rate at the first iteration, or until `warmup_error`, as a share of `lr`"""
    warmup_error: float | None = ranged(None, "(0, 1]")
    """the rate stays at its first value until the training error is below this share (section 4.2: 0.8)"""
    label_smoothing: float = ranged(0.0, "[0, 1)")
    """share of each label that is spread over all classes"""
    metric: Literal["top1_error", "top5_error", "loss"] = "top1_error"
    """what `best.pt`, early stopping and schedule plateau look at, on the validation split"""


@dataclass
class ViewConfig:
    """Evaluation."""

    view: Literal["whole", "1-crop", "10-crop", "multi-scale"] = "1-crop"
    """whole: the image as it is; 1-crop and 10-crop: at `short_side`; multi-scale: the whole image at `scales`"""
    short_side: int = ranged(256, "[1, inf)")
    """shorter side of the image that crops are taken from, pixels"""
    scales: list[int] = ranged([224, 256, 384, 480, 640], "[8, inf)")
    """shorter sides of multi-scale testing, pixels"""
    batch: int = ranged(100, "[1, inf)")
    """images at once in evaluation"""


@dataclass
class PretrainConfig:
    """One training of a classifier."""

    data: str | None = None
    """a folder or tar of images in train/CLASS/ and val/CLASS/, or the folder of CIFAR-10 as torchvision has it"""
    output: str = "runs/pretrain"
    """folder of everything a run writes"""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps"""
    processes: int = ranged(1, "[1, inf)")
    """processes on this machine that share out each batch, each on a GPU of its own; torchrun sets its own number"""
    seed: int = ranged(0, "[0, 4294967295]")
    """of all that is random: first weights, order of the images, augmentation"""
    resume: bool = False
    """continue from the last checkpoint in `output`"""
    statistics: int = ranged(0, "[0, inf)")
    """training images over which the best net's batch norm statistics are computed anew at the end, into
    `backbone.pt`; 0: not; a net without batch norms is written as it is"""
    dataset: ClassDatasetConfig = field(default_factory=ClassDatasetConfig)
    input: CropConfig = field(default_factory=CropConfig)
    net: NetConfig = field(default_factory=NetConfig)
    train: ClassifierTrainConfig = field(default_factory=ClassifierTrainConfig)
    evaluate: ViewConfig = field(default_factory=ViewConfig)
