"""The official archives of PASCAL VOC and COCO, and the folders that `frcnn train --data` takes.

OUTPUT/VOCdevkit/VOC2007, VOC2012       as the devkits have them
OUTPUT/VOCdevkit/VOC0712                both, by hard links: trainval (07+12), test (VOC 2007's), 07++12
OUTPUT/coco/annotations, train2017, ... as COCO's own tools expect them
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from detection.data.archives import RETRY_SECONDS, Archive, Progress, obtain, silent, unpack
from detection.errors import InputError
from detection.files.atomic import write_atomically

VOC_HOST = "http://host.robots.ox.ac.uk/pascal/VOC"
COCO_HOST = "http://images.cocodataset.org"


@dataclass(frozen=True)
class Part:
    """A folder below OUTPUT made of archives. root: the folder inside them that becomes it; merged: the files that
    tell it is there where several parts share the folder, () where it is this part's alone."""

    folder: str
    archives: tuple[Archive, ...]
    root: str
    merged: tuple[str, ...] = ()


def _coco_part(year: int, split: str, md5: str) -> Part:
    name = f"{split}{year}"
    return Part(f"coco/{name}", (Archive(f"{name}.zip", f"{COCO_HOST}/zips/{name}.zip", md5),), name)


def _coco_annotations(year: int, md5: str) -> Part:
    name = f"annotations_trainval{year}.zip"
    files = (f"instances_train{year}.json", f"instances_val{year}.json")
    archive = Archive(name, f"{COCO_HOST}/annotations/{name}", md5)
    return Part("coco/annotations", (archive,), "annotations", files)


def _voc(name: str, year: int, md5: str) -> Archive:
    return Archive(name, f"{VOC_HOST}/voc{year}/{name}", md5)


# VOC's sums are those that torchvision checks; COCO publishes none, these are the ones many toolkits agree on.
DATASETS: dict[str, tuple[Part, ...]] = {
    "voc07": (
        Part(
            "VOCdevkit/VOC2007",
            (
                _voc("VOCtrainval_06-Nov-2007.tar", 2007, "c52e279531787c972589f7e41ab4ae64"),
                _voc("VOCtest_06-Nov-2007.tar", 2007, "b6e924de25625d8de591ea690078ad9f"),
            ),
            "VOCdevkit/VOC2007",
        ),
    ),
    "voc12": (
        Part(
            "VOCdevkit/VOC2012",
            (_voc("VOCtrainval_11-May-2012.tar", 2012, "6cd6e144f989b92b3379bac3b3de84fd"),),
            "VOCdevkit/VOC2012",
        ),
    ),
    "coco2014": (
        _coco_annotations(2014, "0a379cfc70b0e71301e0f377548639bd"),
        _coco_part(2014, "val", "a3d79f5ed8d289b7a7554ce06a5782b3"),
        _coco_part(2014, "train", "0da8c0bd3d6becc4dcb32757491aca88"),
    ),
    "coco2017": (
        _coco_annotations(2017, "f4bbac642086de4f52a3fdda2de5fa2c"),
        _coco_part(2017, "val", "442b8da7639aecaf257c1dceb8ba8c80"),
        _coco_part(2017, "train", "cced6f7f71b7629ddf16f17bbcfab6b2"),
    ),
}

VOC_UNIONS = {
    "trainval": (("VOC2007", "trainval"), ("VOC2012", "trainval")),
    "test": (("VOC2007", "test"),),
    "07++12": (("VOC2007", "trainval"), ("VOC2007", "test"), ("VOC2012", "trainval")),
}
"""lists of VOC0712 -> the lists they are made of. 07++12 holds VOC 2007's test images: for testing on VOC 2012."""


def prepare(
    names: list[str],
    output: Path,
    on_disk: Path | None = None,
    progress: Progress = silent,
    datasets: dict[str, tuple[Part, ...]] = DATASETS,
    retry_seconds: tuple[float, ...] = RETRY_SECONDS,
) -> dict[Path, bool]:
    """Lay out the datasets `names` below `output`; returns each folder and whether this call made it.

    on_disk: folder with archives fetched before; others are downloaded into OUTPUT/archives. What is there already
    is left alone. Raises InputError for an unknown name, and as `obtain` and `unpack` do.
    """
    for name in names:
        if name not in datasets:
            raise InputError(f"there is no dataset {name!r}; choose of {', '.join(datasets)}")
    if on_disk is not None and not on_disk.is_dir():
        raise InputError(f"{on_disk}: there is no such folder of archives; correct --archives")
    made: dict[Path, bool] = {}
    for part in (part for name in names for part in datasets[name]):
        target = output / part.folder
        wanted = [target / name for name in part.merged] or [target]
        missing = not all(path.exists() for path in wanted)
        if missing:
            archives = [obtain(a, output / "archives", on_disk, progress, retry_seconds) for a in part.archives]
            _lay_out(part, archives, target, progress)
        made[target] = made.get(target, False) or missing
    devkit = output / "VOCdevkit"
    if (devkit / "VOC2007").is_dir() and (devkit / "VOC2012").is_dir():
        made[devkit / "VOC0712"] = _unite_voc(devkit)
    return made


def _lay_out(part: Part, archives: list[Path], target: Path, progress: Progress) -> None:
    if not part.merged:
        unpack(archives, target, part.root, progress)
        return
    # Into a folder of its own, then file by file; those that tell that all is there come last.
    aside = target.with_name(f".{target.name}.{archives[0].stem}")
    shutil.rmtree(aside, ignore_errors=True)
    unpack(archives, aside, part.root, progress)
    target.mkdir(parents=True, exist_ok=True)
    absent = [name for name in part.merged if not (aside / name).is_file()]
    if absent:
        shutil.rmtree(aside)
        raise InputError(
            f"{archives[0]}: lacks {part.root}/{absent[0]}; this is not the official archive, fetch it again"
        )
    for path in sorted(aside.iterdir(), key=lambda path: path.name in part.merged):
        os.replace(path, target / path.name)
    aside.rmdir()


def _unite_voc(devkit: Path) -> bool:
    """Make VOC0712 unless it is there; whether it was made."""
    target = devkit / "VOC0712"
    if target.exists():
        return False
    temporary = devkit / f".VOC0712.{os.getpid()}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        for union, lists in VOC_UNIONS.items():
            stems: list[str] = []
            for year, split in lists:
                listing = devkit / year / "ImageSets" / "Main" / f"{split}.txt"
                found = [line.strip() for line in listing.read_text(encoding="utf-8").splitlines() if line.strip()]
                for stem in found:
                    _link(devkit / year, temporary, stem)
                stems += found
            lines = "".join(f"{stem}\n" for stem in stems)
            write_atomically(temporary / "ImageSets" / "Main" / f"{union}.txt", lines.encode())
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(f"{error.filename or target}: {error.strerror or error}; unpack VOC again") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return True


def _link(source: Path, target: Path, stem: str) -> None:
    for name in (f"Annotations/{stem}.xml", f"JPEGImages/{stem}.jpg"):
        place = target / name
        if place.exists():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source / name, place)
        except FileNotFoundError:
            raise
        except OSError:  # a file system without hard links
            shutil.copyfile(source / name, place)
