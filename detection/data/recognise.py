"""Which datasets lie in a folder, by looking at its files: what they are, and which split each belongs to."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from detection.data.assemble import Annotated, assemble
from detection.data.coco_json import collection_paused
from detection.data.coco_places import ANNOTATION_FOLDERS
from detection.data.flaws import Report
from detection.data.formats.createml import read_createml
from detection.data.formats.csv_tables import is_table, read_csv, unlisted
from detection.data.formats.cvat import read_cvat
from detection.data.formats.datumaro import read_datumaro
from detection.data.formats.huggingface import read_huggingface
from detection.data.formats.json_files import json_kind
from detection.data.formats.label_studio import read_label_studio
from detection.data.formats.labelme import read_labelme
from detection.data.formats.supervisely import read_supervisely
from detection.data.formats.via import read_via
from detection.data.formats.wider import is_wider, read_wider
from detection.data.index import AnnotationIndex
from detection.data.names import SPLIT_WORDS, split_name
from detection.data.survey import Survey, grouped
from detection.data.tally import Tally
from detection.data.yolo_folders import class_names, label_files, listed_splits
from detection.errors import InputError
from detection.files.documents import load_bytes, load_head

Reader = Callable[[Survey, list[str], Report | None, Tally], list[Annotated]]
TABLED: dict[str, Reader] = {
    "cvat": read_cvat,
    "datumaro": read_datumaro,
    "labelstudio": read_label_studio,
    "via": read_via,
    "createml": read_createml,
    "huggingface": read_huggingface,
    "csv": read_csv,
    "supervisely": read_supervisely,
    "labelme": read_labelme,
    "wider": read_wider,
}
KNOWN = ("yolo", "voc", "coco", *TABLED)
ORDER = ("coco", "voc", *TABLED, "yolo")
"""which is taken where files of several formats lie in a folder"""
TITLES = {
    "coco": "COCO JSON",
    "voc": "VOC XML",
    "yolo": "YOLO texts",
    "cvat": "CVAT XML",
    "datumaro": "Datumaro JSON",
    "labelstudio": "Label Studio JSON",
    "via": "VIA JSON",
    "createml": "CreateML JSON",
    "huggingface": "metadata.jsonl",
    "csv": "CSV tables",
    "supervisely": "Supervisely JSON",
    "labelme": "LabelMe JSON",
    "wider": "WIDER FACE texts",
}
AN_IMAGE_EACH = ("voc", "labelme", "supervisely", "yolo")
"""formats with a file an image, whose own names say nothing of a split"""
LOOKED_AT = 5
"""files of a folder and ending that are looked at to tell what they are"""
_VOC, _CVAT = re.compile(rb"<(?:\w+:)?annotation[\s>]", re.IGNORECASE), re.compile(rb"<annotations[\s>]")


@dataclass(frozen=True)
class Layout:
    """splits: name -> files relative to the survey's root; told: what was found, in a line; inner: a data.yaml that
    tells the rest."""

    format: str
    splits: dict[str, tuple[str, ...]]
    told: str
    inner: str | None = None


def look(path: Path, format: str, images: Path | None = None) -> tuple[Survey, Layout | None]:
    """What lies at `path`, a folder or an annotation file, and the dataset that it makes: of `format`, or where that is
    auto of the first of ORDER that is there; None where there is none. images: the folder of the images, where it is
    another; then a data.yaml tells nothing but the names of the classes."""
    survey = Survey(_folder_of(path), images)
    whole = path.is_dir() or (images is not None and path.suffix.lower() in (".yaml", ".yml"))
    kinds = kinds_of(survey, None if whole else path.relative_to(survey.root).as_posix())
    inner = kinds.pop("yaml", []) if images is None else []
    if inner and format in ("auto", "yolo"):
        shallowest = min(inner, key=lambda name: name.count("/"))
        return survey, Layout("yolo", {}, f"found YOLO by {shallowest}", shallowest)
    chosen = next((name for name in (ORDER if format == "auto" else (format,)) if kinds.get(name)), None)
    if chosen is None or not survey.images:
        return survey, None
    listed = listed_splits(survey) if chosen == "yolo" else _voc_lists(survey, kinds["voc"]) if chosen == "voc" else {}
    files = survey.images if chosen == "yolo" else kinds[chosen]
    splits = _splits(listed) if listed else split_files(files, chosen)
    others = [TITLES[name] for name in kinds if name != chosen and name in TITLES and kinds[name]]
    where = _folders(survey.images) if images is None else f"{images}"
    told = f"found {TITLES[chosen]} in {_folders(kinds[chosen])}, images in {where}"
    told += f", splits {', '.join(splits)}" if len(splits) > 1 else ", no split files"
    if chosen == "yolo" and class_names(survey) is None:
        told += "; nothing names the classes: they are called by their numbers"
    if others:
        told += f"; also {', '.join(others)}, for which --dataset.format says to read it"
    return survey, Layout(chosen, splits, told)


def _folder_of(path: Path) -> Path:
    """The folder to look through for an annotation file: its own, or that above one of annotations alone."""
    if path.is_dir():
        return path
    folder = path.parent
    return folder.parent if folder.name.lower().startswith(ANNOTATION_FOLDERS) else folder


def kinds_of(survey: Survey, only: str | None = None) -> dict[str, list[str]]:
    """Format -> its annotation files; by the content of a few of each folder. only: the one file to look at."""
    found: dict[str, list[str]] = {}
    for ending, look_at in (
        (".xml", _xml_kind),
        (".json", json_kind),
        (".csv", _table_kind),
        (".tsv", _table_kind),
        (".jsonl", lambda path: "huggingface" if path.name == "metadata.jsonl" else "other"),
        (".yaml", _yaml_kind),
        (".yml", _yaml_kind),
        (".txt", _text_kind),
    ):
        names = [name for name in survey.others[ending] if only in (None, name)]
        for group in grouped(names, lambda name: name.rpartition("/")[0]).values():
            few = group[: LOOKED_AT if len(group) > 2 * LOOKED_AT else None]
            kinds = [look_at(survey.root / name) for name in few]
            alike = set(kinds) - {"", "other"}
            for name, kind in zip(group, [*kinds, *[kinds[0]] * (len(group) - len(few))]):
                kind = next(iter(alike)) if len(few) < len(group) and len(alike) == 1 else kind
                found.setdefault(kind, []).append(name)
    texts = label_files(survey) if only is None else []
    return {kind: names for kind, names in found.items() if kind not in ("", "other")} | (
        {"yolo": texts} if texts else {}
    )


def _xml_kind(path: Path) -> str:
    head = load_head(path, 1 << 16)
    return "cvat" if _CVAT.search(head) else "voc" if _VOC.search(head) else "other"


def _table_kind(path: Path) -> str:
    return "csv" if is_table(path) else "other"


def _yaml_kind(path: Path) -> str:
    head = load_head(path, 1 << 16)
    says = [re.search(rb"^%s\s*:" % key, head, re.MULTILINE) for key in (b"names", b"nc", b"train", b"val")]
    return "yaml" if any(says[:2]) and any(says[2:]) else "other"


def _text_kind(path: Path) -> str:
    head = load_head(path, 4096).decode("utf-8-sig", "replace").splitlines()
    return "wider" if is_wider(head) else "other"


def split_files(files: Iterable[str], format: str) -> dict[str, tuple[str, ...]]:
    """Split -> its files, by the words in the folders' names, and in the files' where a file holds many images; all are
    for training where no name says otherwise."""
    found: dict[str, list[str]] = {}
    for name in files:
        told = name.rpartition("/")[0] if format in AN_IMAGE_EACH else os.path.splitext(name)[0]
        found.setdefault(split_name(told) or "train", []).append(name)
    return _splits(found)


def _splits(found: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    order = {"train": 0, "val": 1, "test": 2}
    named = {SPLIT_WORDS.get(key, key): tuple(names) for key, names in found.items()}
    return dict(sorted(named.items(), key=lambda pair: (order.get(pair[0], 3), pair[0])))


def _voc_lists(survey: Survey, files: list[str]) -> dict[str, list[str]]:
    """Split -> XML files, by lists such as train.txt whose lines are their names."""
    by_stem = {PurePosixPath(name).stem: name for name in files}
    found: dict[str, list[str]] = {}
    for name in survey.others[".txt"]:
        split = SPLIT_WORDS.get(PurePosixPath(name).stem.lower())
        if split is None or len(by_stem) < len(files):
            continue
        lines = load_bytes(survey.root / name).decode("utf-8-sig", "replace").splitlines()
        whole = [line.strip() for line in lines if line.strip()]
        stems = [line if line in by_stem else PurePosixPath(line.split()[0]).stem for line in whole]
        if stems and all(stem in by_stem for stem in stems):
            found[split] = list(dict.fromkeys(by_stem[stem] for stem in stems))
    return found


def _folders(names: list[str]) -> str:
    folders = list(dict.fromkeys(f"{name.rpartition('/')[0] or '.'}/" for name in names))
    return ", ".join(folders[:3]) + (f" and {len(folders) - 3} more" if len(folders) > 3 else "")


def what_is_there(survey: Survey) -> str:
    """What a folder without annotations holds, for the line that refuses it."""
    count = len(survey.images)
    others = sum(map(len, survey.others.values()))
    if not count and not others:
        return "the folder is empty"
    files = f"{others} other files, none of which is an annotation file" if others else "no annotation file"
    images = f"{count} image{'' if count == 1 else 's'}"
    if not count:
        return f"there are no images, and {files}"
    return f"there are {images} and {files}; known formats are {', '.join(TITLES.values())}"


def read_tabled(
    format: str, survey: Survey, splits: dict[str, tuple[str, ...]], split: str, report: Report | None
) -> AnnotationIndex:
    """A split of a format of which a file lists images. Raises InputError where a file holds nothing, which is a fault
    of the reading until shown otherwise, and for whatever is wrong in it."""
    tally = Tally()
    files = list(splits[split])
    with collection_paused():
        found = TABLED[format](survey, files, report, tally)
        if not found:
            raise InputError(
                f"{survey.root / files[0]}: no image is read from it as {TITLES[format]}; check what it holds"
            )
        if format == "csv":
            others = [name for other, names in splits.items() if other != split for name in names]
            found += unlisted(found, survey, read_csv(survey, others, lambda line: None, Tally()), tally)
        return assemble(found, survey, survey.root / files[0] if len(files) == 1 else survey.root, report, tally)
