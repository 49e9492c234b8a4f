"""Rules between settings, and others that an interval beside the field cannot say. Each refusal names the key."""

from __future__ import annotations

from detection.config.duration import seconds_of
from detection.config.pretrain import PretrainConfig
from detection.config.ranges import check_ranges
from detection.config.schema import Config, DatasetConfig, InputConfig, ModelConfig
from detection.config.training import TrainConfig
from detection.errors import InputError


def validate(config: Config) -> None:
    """Raise `InputError` for the first value out of range or pair that cannot go together."""
    check_ranges(config)
    _model(config.model)
    _weights(config.model)
    _train(config.train, config.dataset.val)
    _alternating(config)
    _input(config.input)
    _tiles(config)
    _dataset(config.dataset)


def validate_pretrain(config: PretrainConfig) -> None:
    """The same for the training of a classifier."""
    check_ranges(config)
    train, crop, view = config.train, config.input, config.evaluate
    _train(train, config.dataset.val)
    _vgg(config)
    sides = crop.short_sides
    _require(
        len(sides) == 2 and (crop.crop <= sides[0] <= sides[1] or crop.augment != "scale"),
        "input.short_sides",
        sides,
        f"must be a smallest and a largest side, neither below input.crop, {crop.crop}",
    )
    _require(
        view.short_side >= crop.crop or view.view not in ("1-crop", "10-crop"),
        "evaluate.short_side",
        view.short_side,
        f"must not be below input.crop, {crop.crop}",
    )
    _require(bool(view.scales), "evaluate.scales", view.scales, "needs one or more sides")
    _batch_norm(config)
    _require(
        train.warmup_error is None or train.warmup == 0,
        "train.warmup",
        train.warmup,
        "must be 0 where train.warmup_error ends the warm-up",
    )


def _dataset(dataset: DatasetConfig) -> None:
    for pair in dataset.merge:
        parts = [part.strip() for part in pair.rpartition("=")[::2]]
        _require(all(parts), "dataset.merge", pair, "must be CLASS=OTHER, such as car=vehicle")
    names = dataset.classes
    if names is not None:
        whole = bool(names) and all(name.strip() for name in names) and len(set(names)) == len(names)
        _require(whole, "dataset.classes", names, "must be one or more names, each once")


def _input(sizes: InputConfig) -> None:
    sides = sizes.train_short_sides
    _require(bool(sides), "input.train_short_sides", sides, "needs one or more sides")
    longest = max(*sides, sizes.test_short_side)
    _require(
        sizes.long_side >= longest,
        "input.long_side",
        sizes.long_side,
        f"must not be smaller than the largest of input.train_short_sides and input.test_short_side, {longest}",
    )
    for i, transform in enumerate(sizes.augment):
        _require(
            "name" in transform, f"input.augment[{i}]", transform, "needs the `name` of an albumentations transform"
        )


def _tiles(config: Config) -> None:
    sizes, anchors = config.input, config.model.anchors.sizes
    if sizes.tile is None:
        return
    side = min(*sizes.train_short_sides, sizes.test_short_side)
    smallest = min((size for level in anchors or [] for size in level), default=0.0)
    _require(
        side >= smallest,
        "input.tile",
        sizes.tile,
        f"pixels become {side} in the network, less than the smallest of model.anchors.sizes, {smallest:g}",
    )
    _require(
        config.train.mode != "alternating",
        "input.tile",
        sizes.tile,
        "does not go with train.mode alternating, whose proposals are of whole images; leave out one of them",
    )


def _vgg(config: PretrainConfig) -> None:
    """What a VGG net does not have."""
    net, crop = config.net, config.input.crop
    if net.name.startswith("vgg"):
        _require(not net.rematerialise, "net.rematerialise", True, f"has no meaning: {net.name} has no blocks")
        _require(not net.stride_in_1x1, "net.stride_in_1x1", True, f"has no meaning: {net.name} has no 1x1")
        _require(crop >= 16, "input.crop", crop, f"must be 16 or more for {net.name}, which halves it four times")


def _batch_norm(config: PretrainConfig) -> None:
    """One image has no variance where its map is a single pixel."""
    group = config.net.norm == "group"
    _require(not (config.statistics and group), "statistics", config.statistics, "needs batch norms, not group")
    if group or config.net.name == "vgg16":
        return
    train, need = config.train, "2 or more images with batch norms; raise it, or use net.norm group"
    _require(train.batch >= 2 * train.accumulate, "train.batch", train.batch, f"must give each pass {need}")
    _require(config.statistics != 1, "statistics", config.statistics, "must be 0, or 2 or more images")


def _model(model: ModelConfig) -> None:
    name, architecture = model.backbone, model.architecture
    vgg = name.startswith("vgg16")
    nets = "vgg16 or vgg16_bn" if architecture == "vgg16" else "a resnet or a plain net"
    _require(
        vgg == (architecture == "vgg16"),
        "model.backbone",
        name,
        f"does not go with model.architecture {architecture}, which takes {nets}",
    )
    _require(
        not (vgg and model.rematerialise),
        "model.rematerialise",
        True,
        f"has no meaning with model.backbone {name}, which has no blocks",
    )
    shallow = vgg or name.endswith(("18", "34"))
    _require(
        not (shallow and model.stride_in_1x1),
        "model.stride_in_1x1",
        True,
        f"has no meaning with model.backbone {name}, which has no 1x1",
    )
    _require(model.width % 8 == 0 or model.width == 4, "model.width", model.width, "must be 4 or a multiple of 8")
    _require(
        model.rpn.negative_iou <= model.rpn.positive_iou,
        "model.rpn.negative_iou",
        model.rpn.negative_iou,
        f"must not exceed model.rpn.positive_iou, {model.rpn.positive_iou}",
    )
    _require(
        model.roi.background_iou <= model.roi.positive_iou,
        "model.roi.background_iou",
        model.roi.background_iou,
        f"must not exceed model.roi.positive_iou, {model.roi.positive_iou}",
    )
    _require(
        not (model.anchors.rounded and model.anchors.classic),
        "model.anchors.classic",
        True,
        "rounds in another way than model.anchors.rounded; give one of them",
    )
    levels, sizes = (5 if architecture == "fpn" else 1), model.anchors.sizes
    _require(
        sizes is None or (len(sizes) == levels and all(sizes)),
        "model.anchors.sizes",
        sizes,
        f"needs {levels} list{'s' if levels > 1 else ''} of sizes for model.architecture {architecture}",
    )
    _require(bool(model.anchors.ratios), "model.anchors.ratios", model.anchors.ratios, "needs one or more ratios")


def _weights(model: ModelConfig) -> None:
    """Norms and freezing that suit the first weights."""
    random, normed = model.weights is None, model.backbone != "vgg16"
    _require(
        normed or model.norm in ("auto", "frozen"),
        "model.norm",
        model.norm,
        "has no meaning: vgg16 has no norms; vgg16_bn has",
    )
    _require(
        not (random and model.norm == "frozen" and normed),
        "model.norm",
        "frozen",
        "cannot train from random weights (model.weights null); use batch or group",
    )
    _require(
        not (model.weights in ("IMAGENET1K_V1", "IMAGENET1K_V2") and model.norm == "group"),
        "model.norm",
        "group",
        f"cannot take {model.weights}, which has batch norms; use frozen, batch or sync, or model.weights null",
    )
    _require(
        not (model.freeze and random), "model.freeze", model.freeze, "would freeze random weights (model.weights null)"
    )


def _alternating(config: Config) -> None:
    shares, alternating = config.train.step_shares, config.train.mode == "alternating"
    _require(len(shares) == 4, "train.step_shares", shares, "must be four shares, one a step")
    _require(
        not (alternating and config.model.norm in ("batch", "sync")),
        "model.norm",
        config.model.norm,
        "does not go with train.mode alternating, which fixes layers between steps; use frozen or group",
    )
    _require(
        not (alternating and config.model.weights is None and config.model.norm == "auto"),
        "model.norm",
        "auto",
        "means batch without model.weights, which train.mode alternating cannot fix; use group",
    )
    _require(
        not (alternating and config.model.head_norm == "batch"),
        "model.head_norm",
        "batch",
        "does not go with train.mode alternating, which fixes layers between steps; use frozen or group",
    )
    _require(
        not (alternating and config.train.schedule == "plateau"),
        "train.schedule",
        "plateau",
        "does not go with train.mode alternating, whose RPN steps are not evaluated; use step or cosine",
    )


def _train(train: TrainConfig, val: str | None) -> None:
    given = [each for each in (train.iterations, train.epochs, train.time) if each is not None]
    rule = "give exactly one of train.iterations, train.epochs and train.time"
    _require(len(given) == 1, "train.iterations", train.iterations, rule)
    if train.time is not None:
        seconds_of(train.time, "train.time")
    _require(
        train.batch % train.accumulate == 0,
        "train.accumulate",
        train.accumulate,
        f"must divide train.batch, {train.batch}",
    )
    _require(train.steps == sorted(train.steps), "train.steps", train.steps, "must rise")
    blind = "needs a validation split; dataset.val is null"
    _require(not (val is None and train.schedule == "plateau"), "train.schedule", train.schedule, blind)
    _require(not (val is None and train.patience is not None), "train.patience", train.patience, blind)


def _require(holds: bool, key: str, value: object, rule: str) -> None:
    if not holds:
        raise InputError(f"{key}: {value} {rule}")
