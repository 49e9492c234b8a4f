"""Where the images of a COCO file lie."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from detection.data.index import AnnotationIndex
from detection.data.names import leaves_root
from detection.data.survey import Survey, plain
from detection.data.tally import Tally

ANNOTATION_FOLDERS = ("annot", "label", "json")
"""beginnings of what folders of annotations are called; images then lie beside the folder"""


def guess_image_folder(annotations: Path, names: Sequence[Any]) -> Path:
    """The folder near the JSON file that holds most of the first images.

    For ROOT/annotations/instances_train2017.json: ROOT/train2017, ROOT/images/train2017, ROOT/images, and the same
    around the file's own folder. Where none holds any, the first that exists, since evaluation needs no pixels.
    """
    folder = annotations.resolve().parent
    split = annotations.stem.split("_", 1)[-1] or annotations.stem
    candidates = [
        base / name
        for base in (folder.parent, folder.parent / "images", folder, folder / "images")
        for name in (split, annotations.stem)
    ]
    candidates += [folder.parent / "images", folder, folder / "images", folder.parent]
    existing = [candidate for candidate in candidates if candidate.is_dir()]
    # Several names, so that one missing image does not hide the folder of all the others.
    probe = [name for name in names[:10] if isinstance(name, str) and not leaves_root(name)]
    return max(existing, key=lambda candidate: sum(os.path.isfile(candidate / name) for name in probe))


class Places:
    """Finds images that are not where the file says, by listing the folders around it, once and only where needed.

    images: the folder that the user gave, beyond which nothing is looked for.
    """

    def __init__(self, annotations: Path, images: Path | None, survey: Survey | None) -> None:
        self._images = None if images is None else Path(images)
        folder = annotations.resolve().parent
        self._root = folder.parent if folder.name.lower().startswith(ANNOTATION_FOLDERS) else folder
        self._survey = survey if images is None else None

    def survey(self) -> Survey:
        if self._survey is None:
            self._survey = Survey(self._images or self._root)
        return self._survey

    def near(self, folder: Path) -> str:
        """`folder` as the survey names it; "" where it is not below."""
        root = self.survey().root.resolve()
        folder = folder.resolve()
        inside = folder != root and folder.is_relative_to(root)
        return folder.relative_to(root).as_posix() if inside else ""

    def place(self, index: AnnotationIndex, tally: Tally) -> AnnotationIndex:
        """The index with each image where it lies; one that is nowhere keeps the place where it should be."""
        names = [name.decode() for name in index.file_names.tolist()]
        if all(os.path.isfile(index.root / name) for name in names[:10]) and not any("\\" in name for name in names):
            return index
        if not self.survey().images:
            return index
        near = self.near(index.root)
        usual = [f"{near}/{plain(name)}" if near else plain(name) for name in names]
        inside = set(self.survey().images)
        at_home = sum(path in inside for path in usual) > len(usual) / 2  # then one that is not there is missing
        placed, moved = [], 0
        for name, there in zip(names, usual, strict=True):
            found = None if at_home and there not in inside else self.survey().find(name, near)
            placed.append(found[0] if found else there)
            if found and found[0] != there:
                moved += 1
                tally.add("images are in other folders than the file says: found by name", f"{name}: {found[0]}")
            if "\\" in name:
                tally.add("file names had backslashes: read as /", name)
        if not moved and not any("\\" in name for name in names):
            return index
        return replace(index, root=self.survey().root, file_names=np.array([n.encode() for n in placed], np.bytes_))
