"""What a change of each setting does to a resumed run: one table for detectors, one for classifiers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml

from detection.config.read import AnyConfig, flat, to_dict
from detection.errors import InputError

Change = Literal["used", "refused", "free"]
"""used: the rest of the run follows the new value, and a line says so. refused: the run would no longer be one run, so
another --output is asked for. free: nothing that is computed depends on it, and it may change without a word."""


def _table(used: str = "", refused: str = "", free: str = "") -> dict[str, Change]:
    groups: list[tuple[Change, str]] = [("used", used), ("refused", refused), ("free", free)]
    return {key: change for change, keys in groups for key in keys.split()}


def _below(section: str, table: dict[str, Change]) -> dict[str, Change]:
    return {f"{section}.{key}": change for key, change in table.items()}


# The data may have grown or moved: classes and validation images are compared with the checkpoint's.
_RUN = _table(used="data seed", free="output device processes resume")

# The weights kept as best were chosen by the metric.
_TRAIN = _table(
    used="batch accumulate iterations epochs time lr momentum weight_decay norm_decay bias_decay bias_lr "
    "schedule steps plateau gamma warmup warmup_factor clip skip_nonfinite amp tf32 compile ema evaluate_every "
    "log_every checkpoint_every patience",
    refused="metric optimizer",
    free="trackers",
)

DETECTOR: dict[str, Change] = {
    **_RUN,
    # Those that are refused move images between training and validation, or give the network other classes.
    **_below(
        "dataset",
        _table(
            used="format images invalid unlabelled repeat_factor",
            refused="train val val_fraction val_salt classes merge single_class",
        ),
    ),
    **_below(
        "input",
        _table(
            used="train_short_sides test_short_side long_side augment min_visibility min_side group_by_aspect "
            "tile tile_overlap tile_visible tile_empty grey_bits skip_unreadable",
            free="workers",
        ),
    ),
    # What is refused is the network that the weights belong to; its first weights have been taken already.
    **_below(
        "model",
        _table(
            refused="architecture backbone weights norm freeze stride_in_1x1 ceil_pool width fpn_channels head_norm "
            "anchors.sizes anchors.ratios anchors.offset anchors.rounded anchors.classic roi.pool roi.hidden "
            "roi.class_agnostic roi.context rpn.convolutions roi.convolutions",
            free="rematerialise",
            used="rpn.positive_iou rpn.negative_iou rpn.inside rpn.batch_per_image rpn.positive_fraction rpn.nms "
            "rpn.min_side rpn.train_before_nms rpn.train_after_nms rpn.test_before_nms rpn.test_after_nms "
            "rpn.box_loss rpn.beta roi.sampling_ratio roi.positive_iou roi.background_iou roi.batch_per_image "
            "roi.positive_fraction roi.append_truth roi.dropout roi.box_loss roi.beta roi.score roi.nms roi.detections",
        ),
    ),
    **_below("train", {**_TRAIN, **_table(used="pictures", refused="mode step_shares")}),
    **_below("evaluate", _table(used="backend batch", free="report")),
}

CLASSIFIER: dict[str, Change] = {
    **_RUN,
    **_table(used="statistics"),
    **_below("dataset", _table(used="test", refused="train val hold_out hold_out_salt")),
    **_below("input", _table(used="augment crop short_sides pad flip pca", free="workers")),
    **_below(
        "net", _table(refused="name shortcut width norm stride_in_1x1 ceil_pool fan_in weights", free="rematerialise")
    ),
    # Once a warm-up by the error is over, `train.warmup_error` is refused too: nothing would follow from it.
    **_below("train", {**_TRAIN, **_table(used="warmup_error label_smoothing")}),
    **_below("evaluate", _table(used="view short_side scales batch")),
}

BY_THE_DATA = ("dataset.val_salt", "dataset.hold_out", "dataset.hold_out_salt")
"""What a run fills in where nothing is given."""

ALTERNATING = ("data", "input", "model", "seed", "train.epochs", "train.iterations", "train.time")
"""How the settings begin that alternating training refuses besides: finished steps and their proposals would be of the
old ones."""


def changed_settings(before: dict[str, Any], now: dict[str, Any]) -> dict[str, str]:
    """Dotted key -> `key old -> new` of settings that differ, but for those that nothing computed depends on."""
    old, new = flat(before), flat(now)
    table = DETECTOR if "model" in now else CLASSIFIER
    changed = (key for key in sorted(old.keys() & new.keys()) if old[key] != new[key])
    return {key: f"{key} {old[key]} -> {new[key]}" for key in changed if table[key] != "free"}


def refuse_changes(before: dict[str, Any], now: dict[str, Any], path: Path) -> None:
    """Raise `InputError` for what the run whose checkpoint lies at `path` cannot change on its way."""
    table = DETECTOR if "model" in now else CLASSIFIER
    refused = [line for key, line in changed_settings(before, now).items() if table[key] == "refused"]
    if refused:
        raise InputError(f"{path}: cannot change when a run is resumed: {', '.join(refused)}; use another --output")


def stored_setting(folder: Path, key: str) -> Any:
    """What the config of the run in `folder` has under a dotted key; None where there is no such run or setting."""
    try:
        return flat(yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")))[key]
    except (OSError, ValueError, KeyError, AttributeError, yaml.YAMLError):
        return None


def refuse_other_settings(config: AnyConfig, keys: tuple[str, ...] = ("",)) -> None:
    """Raise `InputError` where `config.output` holds a run whose settings that begin like `keys` were others."""
    path = Path(config.output) / "config.yaml"
    if not path.is_file():
        return
    changed = changed_settings(yaml.safe_load(path.read_text(encoding="utf-8")), to_dict(config))
    now = flat(to_dict(config))
    other = [
        line for key, line in changed.items() if key.startswith(keys) and not (key in BY_THE_DATA and now[key] is None)
    ]
    if other:
        raise InputError(f"{path.parent}: was trained with other settings ({', '.join(other)}); use another --output")
