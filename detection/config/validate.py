"""Ranges and combinations that the types of `schema.py` cannot say. Each refusal names the key."""

from __future__ import annotations

from detection.config.pretrain import PretrainConfig
from detection.config.schema import Config, ModelConfig
from detection.config.training import TrainConfig
from detection.errors import InputError


def validate(config: Config) -> None:
    """Raise `InputError` for the first value out of range or pair that cannot go together."""
    _model(config.model)
    _sampling(config.model)
    _train(config.train)
    _alternating(config)
    data = config.dataset
    _run(config.seed, data.val, config.train)
    _require(0 < data.val_fraction < 1, "dataset.val_fraction", data.val_fraction, "must lie between 0 and 1")
    sides = config.input.train_short_sides
    _require(
        bool(sides) and min(sides) >= 32,
        "input.train_short_sides",
        sides,
        "needs one or more sides of 32 pixels or more",
    )
    _require(
        config.input.test_short_side >= 32, "input.test_short_side", config.input.test_short_side, "must be 32 or more"
    )
    longest = max(*sides, config.input.test_short_side)
    _require(
        config.input.long_side >= longest,
        "input.long_side",
        config.input.long_side,
        f"must not be smaller than the largest short side, {longest}",
    )
    _require(
        0 <= config.input.min_visibility < 1, "input.min_visibility", config.input.min_visibility, "must lie in [0, 1)"
    )
    _require(
        config.input.skip_unreadable >= 0, "input.skip_unreadable", config.input.skip_unreadable, "must be 0 or more"
    )
    bits = config.input.grey_bits
    _require(8 <= bits <= 16, "input.grey_bits", bits, "must lie in 8..16")
    _processes(config.processes, config.input.workers)
    for i, transform in enumerate(config.input.augment):
        _require(
            "name" in transform, f"input.augment[{i}]", transform, "needs the `name` of an albumentations transform"
        )
    _require(config.evaluate.batch >= 1, "evaluate.batch", config.evaluate.batch, "must be 1 or more")


def validate_pretrain(config: PretrainConfig) -> None:
    """The same for the training of a classifier."""
    _train(config.train)
    data, crop, net, view = config.dataset, config.input, config.net, config.evaluate
    _run(config.seed, data.val, config.train)
    _require(net.width is None or net.width >= 1, "net.width", net.width, "must be 1 or more")
    _vgg(config)
    _require(data.hold_out is None or data.hold_out >= 1, "dataset.hold_out", data.hold_out, "must be 1 or more")
    _require(crop.crop >= 8, "input.crop", crop.crop, "must be 8 or more")
    sides = crop.short_sides
    _require(
        len(sides) == 2 and (crop.crop <= sides[0] <= sides[1] or crop.augment != "scale"),
        "input.short_sides",
        sides,
        f"must be a smallest and a largest side, neither below input.crop, {crop.crop}",
    )
    _require(crop.pad >= 0, "input.pad", crop.pad, "must be 0 or more")
    _require(crop.pca >= 0, "input.pca", crop.pca, "must be 0 or more")
    _processes(config.processes, crop.workers)
    _require(
        view.short_side >= crop.crop or view.view not in ("1-crop", "10-crop"),
        "evaluate.short_side",
        view.short_side,
        f"must not be below input.crop, {crop.crop}",
    )
    _require(bool(view.scales) and min(view.scales) >= 8, "evaluate.scales", view.scales, "needs sides of 8 or more")
    _require(view.batch >= 1, "evaluate.batch", view.batch, "must be 1 or more")
    _require(config.statistics >= 0, "statistics", config.statistics, "must be 0 or more")
    _batch_norm(config)
    _require(
        not (config.statistics and net.norm == "group"), "statistics", config.statistics, "needs batch norms, not group"
    )
    train = config.train
    smoothing, error = train.label_smoothing, train.warmup_error
    _require(0 <= smoothing < 1, "train.label_smoothing", smoothing, "must lie in [0, 1)")
    _require(error is None or 0 < error <= 1, "train.warmup_error", error, "must be a share between 0 and 1")
    _require(
        error is None or train.warmup == 0,
        "train.warmup",
        train.warmup,
        "must be 0 where train.warmup_error ends the warm-up",
    )


def _processes(processes: int, workers: int | None) -> None:
    _require(processes >= 1, "processes", processes, "must be 1 or more")
    _require(workers is None or workers >= 0, "input.workers", workers, "must be 0 or more")


def _vgg(config: PretrainConfig) -> None:
    """What a VGG net has not."""
    net, crop = config.net, config.input.crop
    if net.name.startswith("vgg"):
        _require(not net.rematerialise, "net.rematerialise", True, f"has no meaning: {net.name} has no blocks")
        _require(not net.stride_in_1x1, "net.stride_in_1x1", True, f"has no meaning: {net.name} has no 1x1")
        _require(crop >= 16, "input.crop", crop, f"must be 16 or more for {net.name}, which halves it four times")


def _batch_norm(config: PretrainConfig) -> None:
    """One image has no variance where its map is a single pixel."""
    if config.net.norm == "group" or config.net.name == "vgg16":
        return
    train, need = config.train, "2 or more images with batch norms; raise it, or use net.norm group"
    _require(train.batch >= 2 * train.accumulate, "train.batch", train.batch, f"must give each pass {need}")
    _require(config.statistics != 1, "statistics", config.statistics, "must be 0, or 2 or more images")


def _model(model: ModelConfig) -> None:
    name = model.backbone
    vgg, normed = name.startswith("vgg16"), name != "vgg16"
    _require(
        vgg == (model.architecture == "vgg16"),
        "model.backbone",
        model.backbone,
        f"does not go with model.architecture {model.architecture}; vgg16 and vgg16_bn go with vgg16, the resnets with "
        "the others",
    )
    _require(
        not (vgg and model.rematerialise),
        "model.rematerialise",
        True,
        f"has no meaning: {model.backbone} has no blocks",
    )
    shallow = vgg or name.endswith(("18", "34"))
    _require(
        not (shallow and model.stride_in_1x1),
        "model.stride_in_1x1",
        True,
        f"has no meaning: {model.backbone} has no 1x1",
    )
    _require(
        normed or model.norm in ("auto", "frozen"),
        "model.norm",
        model.norm,
        "has no meaning: vgg16 has no norms; vgg16_bn has",
    )
    _require(
        not (model.weights is None and model.norm == "frozen" and normed),
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
    freeze = model.freeze
    _require(freeze is None or 0 <= freeze <= 5, "model.freeze", freeze, "must lie in 0..5")
    _require(
        not (freeze and model.weights is None),
        "model.freeze",
        freeze,
        "would freeze random weights (model.weights null)",
    )
    _require(model.width >= 4, "model.width", model.width, "must be 4 or more")
    _require(model.width % 8 == 0 or model.width == 4, "model.width", model.width, "must be 4 or a multiple of 8")
    levels = 5 if model.architecture == "fpn" else 1
    sizes = model.anchors.sizes
    _require(
        sizes is None or len(sizes) == levels,
        "model.anchors.sizes",
        sizes,
        f"needs {levels} list(s) of sizes for architecture {model.architecture}",
    )


def _alternating(config: Config) -> None:
    shares, alternating = config.train.step_shares, config.train.mode == "alternating"
    _require(
        len(shares) == 4 and min(shares) > 0, "train.step_shares", shares, "must be four positive shares, one a step"
    )
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
        not (alternating and config.train.schedule == "plateau"),
        "train.schedule",
        "plateau",
        "does not go with train.mode alternating, whose RPN steps are not evaluated; use step or cosine",
    )


def _sampling(model: ModelConfig) -> None:
    """Thresholds and shares of both stages."""
    for key, value in (
        ("model.rpn.positive_iou", model.rpn.positive_iou),
        ("model.rpn.negative_iou", model.rpn.negative_iou),
        ("model.rpn.positive_fraction", model.rpn.positive_fraction),
        ("model.rpn.nms", model.rpn.nms),
        ("model.roi.positive_iou", model.roi.positive_iou),
        ("model.roi.positive_fraction", model.roi.positive_fraction),
        ("model.roi.nms", model.roi.nms),
        ("model.roi.score", model.roi.score),
        ("model.roi.dropout", model.roi.dropout),
    ):
        _require(0 <= value <= 1, key, value, "must lie in 0..1")
    _require(
        model.rpn.negative_iou <= model.rpn.positive_iou,
        "model.rpn.negative_iou",
        model.rpn.negative_iou,
        f"must not exceed model.rpn.positive_iou, {model.rpn.positive_iou}",
    )


def _train(train: TrainConfig) -> None:
    _require(
        (train.iterations is None) != (train.epochs is None),
        "train.iterations",
        train.iterations,
        "give exactly one of train.iterations and train.epochs",
    )
    length = train.iterations if train.iterations is not None else train.epochs
    _require(length is not None and length > 0, "train.iterations", length, "must be positive")
    _require(train.batch >= 1, "train.batch", train.batch, "must be 1 or more")
    _require(
        train.accumulate >= 1 and train.batch % train.accumulate == 0,
        "train.accumulate",
        train.accumulate,
        f"must divide train.batch, {train.batch}",
    )
    _require(train.lr > 0, "train.lr", train.lr, "must be positive")
    _require(0 <= train.momentum < 1, "train.momentum", train.momentum, "must lie in [0, 1)")
    _require(
        all(0 < s < 1 for s in train.steps) and train.steps == sorted(train.steps),
        "train.steps",
        train.steps,
        "must be rising shares of the run between 0 and 1",
    )
    _require(train.plateau >= 1, "train.plateau", train.plateau, "must be 1 or more")
    _require(0 < train.gamma <= 1, "train.gamma", train.gamma, "must lie above 0 and not above 1")
    for key in ("weight_decay", "norm_decay", "bias_decay", "warmup_factor"):
        value = getattr(train, key)
        _require(value is None or value >= 0, f"train.{key}", value, "must be 0 or more")
    _require(train.warmup >= 0, "train.warmup", train.warmup, "must be 0 or more")
    _require(train.ema is None or 0 < train.ema < 1, "train.ema", train.ema, "must lie between 0 and 1")
    _require(train.skip_nonfinite >= 0, "train.skip_nonfinite", train.skip_nonfinite, "must be 0 or more")
    _require(train.clip is None or train.clip > 0, "train.clip", train.clip, "must be positive")
    for key in ("evaluate_every", "log_every", "checkpoint_every", "patience"):
        value = getattr(train, key)
        _require(value is None or value >= 1, f"train.{key}", value, "must be 1 or more")


def _run(seed: int, val: str | None, train: TrainConfig) -> None:
    """The seed, and what cannot work without evaluations."""
    _require(0 <= seed < 2**32, "seed", seed, "must lie in 0..2^32-1")
    blind = "needs a validation split; dataset.val is null"
    _require(not (val is None and train.schedule == "plateau"), "train.schedule", train.schedule, blind)
    _require(not (val is None and train.patience is not None), "train.patience", train.patience, blind)


def _require(holds: bool, key: str, value: object, rule: str) -> None:
    if not holds:
        raise InputError(f"{key}: {value} {rule}")
