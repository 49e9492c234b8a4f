"""The configs that come with the toolkit, by name: `coco/r50_fpn_1x` is configs/coco/r50_fpn_1x.yaml."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from detection.errors import InputError

_INSTALLED, _CHECKOUT = (Path(__file__).parents[k] / "configs" for k in (1, 2))
FOLDER = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
"""A wheel has them inside the package, a checkout beside it."""


def shipped_configs() -> dict[str, Path]:
    """Name -> file, sorted."""
    found = sorted(FOLDER.rglob("*.yaml"))
    return {path.relative_to(FOLDER).with_suffix("").as_posix(): path for path in found}


def find_config(name: str) -> Path:
    """The file `name`, or the shipped config of this name, with or without configs/ and .yaml.

    Raises `InputError` where there is neither.
    """
    if Path(name).exists():
        return Path(name)
    known = shipped_configs()
    short = name.removeprefix("configs/").removesuffix(".yaml")
    if short in known:
        return known[short]
    near = difflib.get_close_matches(short, known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else "; `frcnn configs` lists those that come with it"
    raise InputError(f"--config: {name}: no such file, and no config of this name{hint}")


def config_in(folder: Path, name: str) -> Path:
    """The config `name` of a folder of configs. Raises `InputError` where it is not there."""
    file = folder / f"{name}.yaml"
    if not file.is_file():
        there = ", ".join(sorted(path.stem for path in folder.glob("*.yaml"))) or "none"
        raise InputError(f"{file}: no such config; in this folder there is {there}")
    return file


def summary_of(path: Path) -> str:
    """What a config is for: the first sentence of the comment that it begins with."""
    comment = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#") or line.startswith("#  "):
            break
        comment.append(line.lstrip("# "))
    return re.split(r"(?<!al)\. ", " ".join(comment))[0].rstrip(".")
