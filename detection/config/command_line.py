"""The words of a command whose options are settings, read once: which settings they give, under which names."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from dataclasses import dataclass, field
from typing import Any

from detection.config.pretrain import PretrainConfig
from detection.config.schema import Config
from detection.config.shipped import find_config
from detection.errors import InputError

_BOTH = {
    "epochs": "train.epochs",
    "time": "train.time",
    "batch": "train.batch",
    "lr": "train.lr",
    "workers": "input.workers",
    "trackers": "train.trackers",
}
SHORT: dict[type, dict[str, str]] = {
    Config: {
        **_BOTH,
        "model": "model.architecture",
        "backbone": "model.backbone",
        "weights": "model.weights",
        "classes": "dataset.classes",
        "merge": "dataset.merge",
        "single-class": "dataset.single_class",
        "unlabelled": "dataset.unlabelled",
    },
    PretrainConfig: {**_BOTH, "model": "net.name", "weights": "net.weights"},
}
"""Short name of an option -> the setting."""

LISTED = ("dataset.classes", "dataset.merge", "train.trackers")
"""Settings that are lists of names, which may be given with commas between."""

TEXTS = ("help", "help-all", "print-config")
"""Options without a value, which ask for a text."""

FLAGS = (*TEXTS, "dry-run", "json")
"""Options without a value."""

FOREIGN = {
    "learning-rate": "lr",
    "learning_rate": "lr",
    "lr0": "lr",
    "batch-size": "batch",
    "batch_size": "batch",
    "imgsz": "size",
    "img-size": "size",
    "image-size": "size",
    "dataset": "data",
    "data-path": "data",
    "output-dir": "output",
    "project": "output",
    "config-file": "config",
    "print_config": "print-config",
    "pretrained": "weights",
}
"""What other tools call an option -> ours."""


@dataclass(frozen=True)
class CommandLine:
    """files: values of --config, in order. given: dotted key -> text of the value, the last one where a key is given
    twice. wanted: the one of `TEXTS` that was asked for, else empty; dry: whether the run is only to be tried out;
    fit_batch: whether `--batch auto` was given; folds: those of `--folds`, 0 without; json: whether a program reads the
    result."""

    files: tuple[str, ...] = ()
    given: dict[str, str] = field(default_factory=dict)
    wanted: str = ""
    dry: bool = False
    fit_batch: bool = False
    folds: int = 0
    json: bool = False

    @classmethod
    def read(cls, words: list[str], kind: type) -> CommandLine:
        """Raises `InputError` for a word that is no option, an option that does not exist, and a missing value."""
        known = keys_of(kind)
        files: list[str] = []
        given: dict[str, str] = {}
        flags: set[str] = set()
        fit_batch, folds, rest = False, 0, list(words)
        while rest:
            name, value = _option(rest)
            key = SHORT[kind].get(name, name)
            if name in FLAGS and value is not None:
                raise InputError(f"--{name}: takes no value, and {value!r} was given")
            if name in FLAGS:
                flags.add(name)
                continue
            if name == "folds" and kind is Config:
                folds = _folds(value)
                continue
            if name != "config" and not (name == "size" and kind is Config) and key not in known:
                raise InputError(unknown(name, kind))
            if value is None and (key not in known or known[key].type != "bool"):
                raise InputError(f"--{name}: needs a value; see --help")
            if name == "config":
                files.append(str(find_config(str(value))))
                continue
            if key == "train.batch" and kind is Config:
                fit_batch = value == "auto"
                if fit_batch:
                    given.pop(key, None)
                    continue
            settings = _settings(key, value)
            given = {k: v for k, v in given.items() if k not in settings} | settings
        wanted = next((name for name in TEXTS if name in flags), "")
        return cls(tuple(files), given, wanted, "dry-run" in flags, fit_batch, folds, "json" in flags)

    @property
    def words(self) -> list[str]:
        """The same by full names, files first, since options win over them."""
        return [f"--config={file}" for file in self.files] + [f"--{key}={value}" for key, value in self.given.items()]

    @property
    def all_words(self) -> list[str]:
        """Those, and what is no setting: the command again."""
        added = {
            "--dry-run": self.dry,
            "--json": self.json,
            "--batch=auto": self.fit_batch,
            f"--folds={self.folds}": self.folds > 0,
        }
        return [*self.words, *(word for word, given in added.items() if given)]

    def gives(self, *keys: str) -> bool:
        """Whether any of these settings is given as an option."""
        return any(key in self.given for key in keys)


def keys_of(kind: Any, above: str = "") -> dict[str, dataclasses.Field[Any]]:
    """Dotted key -> the field of each setting of a config class."""
    found: dict[str, dataclasses.Field[Any]] = {}
    for each in dataclasses.fields(kind):
        section = each.default_factory
        if dataclasses.is_dataclass(section):
            found |= keys_of(section, f"{above}{each.name}.")
        else:
            found[f"{above}{each.name}"] = each
    return found


def kind_of(field: dataclasses.Field[Any]) -> str:
    """The type of a setting as one reads it: choices with bars between, null where None may be."""
    text = re.sub(r"\bNone\b", "null", str(field.type)).replace("dict[str, Any]", "mapping")
    choices = re.findall(r"['\"]([^'\"]+)['\"]", text)
    return " | ".join([*choices, *(["null"] if "null" in text else [])]) if choices else text


def sizes(text: str) -> dict[str, str]:
    """--size S: tested with a shorter side of S pixels, trained with .8, .9 and 1 times that, the longer side at most
    5/3 of it, the proportion of the papers (600 and 1000, 800 and 1333)."""
    try:
        size = int(text)
    except ValueError as error:
        raise InputError(f"--size: {text!r} is not a whole number of pixels") from error
    return {
        "input.test_short_side": str(size),
        "input.train_short_sides": str(training_sides(size)).replace(" ", ""),
        "input.long_side": str(size * 5 // 3),
    }


def training_sides(size: int) -> list[int]:
    """Shorter sides of training images, pixels, for a detector that is tested at `size`."""
    return sorted({max(int(size * share) // 32 * 32, 32) for share in (0.8, 0.9)} | {size})


def unknown(name: str, kind: type, dashes: str = "--", what: str = "option") -> str:
    """What to say of an option, or of a setting in a file, that does not exist: the nearest one that does."""
    short = [*SHORT[kind], *(["size", "folds"] if kind is Config else []), "config", *FLAGS]
    names = [*(short if dashes else []), *keys_of(kind)]
    last = {each.rsplit(".", 1)[-1]: each for each in reversed(names)}
    near = [FOREIGN[name]] if FOREIGN.get(name) in names else difflib.get_close_matches(name, names, n=1, cutoff=0.75)
    tail = name.rsplit(".", 1)[-1].replace("-", "_")
    near = near or [last[match] for match in difflib.get_close_matches(tail, last, n=1, cutoff=0.75)]
    hint = f"; did you mean {dashes}{near[0]}?" if near else "; --help-all lists all"
    return f"{dashes}{name}: there is no such {what}{hint}"


def _option(rest: list[str]) -> tuple[str, str | None]:
    """Take the next option from the front of `rest`, with its value if it has one."""
    word = rest.pop(0)
    if word == "-h":
        return "help", None
    if not word.startswith("--") or word == "--":
        raise InputError(f"{word!r} belongs to no option; options are --NAME VALUE, see --help")
    name, equals, value = word[2:].partition("=")
    if equals:
        return name, value
    if rest and not rest[0].startswith("--") and name not in FLAGS:
        return name, rest.pop(0)
    return name, None


def _folds(value: str | None) -> int:
    try:
        count = int(value or "")
    except ValueError as error:
        raise InputError(f"--folds: {value!r} is not a whole number; give 2 or more, such as 5") from error
    if count < 2:
        raise InputError(f"--folds: {count} is below 2; give 2 or more")
    return count


def _settings(key: str, value: str | None) -> dict[str, str]:
    """The settings that an option gives. A switch may stand alone; --resume also takes the folder of the run."""
    if value is None:
        return {key: "true"}
    if key == "size":
        return sizes(value)
    if key == "resume" and value.lower() not in ("true", "false", "yes", "no", "on", "off"):
        return {"resume": "true", "output": value}
    if key in LISTED and not value.lstrip().startswith("[") and value != "null":
        return {key: json.dumps([name.strip() for name in value.split(",")], ensure_ascii=False)}
    return {key: value}
