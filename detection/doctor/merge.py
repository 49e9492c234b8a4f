"""Several datasets as one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from detection.counted import counted
from detection.data.classes import tell_alike
from detection.data.hold_out import index_fingerprints
from detection.data.locate import LocatedDataset
from detection.doctor.convert import lost, sizes_of, whole_parts
from detection.doctor.folders import WRITERS, Parts, appearing_whole, refuse_place
from detection.doctor.join import joined, union_of_classes
from detection.files.atomic import write_atomically

UNLABELLED = "unlabelled.json"


def merge(sources: Sequence[LocatedDataset], format: str, out: Path) -> list[str]:
    """Write the images of all datasets into the new folder `out`, their splits of one name together, in all classes of
    any; returns a line for each split and for whatever is left out or worth a look.

    Where one lacks classes of another, `unlabelled.json` names them for each of its images: that there is no box of
    them says nothing. Raises InputError where `out` holds something or lies in a dataset, or one cannot be read.
    """
    for source in sources:
        refuse_place(Path(source.root), out)
    lines, wholes = [], []
    for source in sources:
        parts, _, told = whole_parts(source)
        wholes.append(parts)
        lines += [f"{source.root}: {line}" for line in told]
    every = [index for parts in wholes for index in parts.values()]
    names = union_of_classes(every)
    lines += tell_alike(names) + _in_two_splits(wholes)
    parts = {}
    for split in dict.fromkeys(split for whole in wholes for split in whole):
        parts[split] = joined([whole[split] for whole in wholes if split in whole], names)
    lines += [f"{count} {what}" for what, count in lost(parts.values(), format).items() if count]
    lacking = [[name for name in names if name not in union_of_classes(list(whole.values()))] for whole in wholes]
    with appearing_whole(out) as folder:
        written = WRITERS[format](parts, {}, folder)
        if any(lacking):
            content = json.dumps(_unlabelled(wholes, written, lacking), ensure_ascii=False, indent=0)
            write_atomically(folder / UNLABELLED, content.encode())
    for source, missing in zip(sources, lacking):
        if missing:
            lines.append(
                f"{source.root}: has no {', '.join(missing[:8])}{' ...' * (len(missing) > 8)}; train with --unlabelled "
                f"{out / UNLABELLED}, so that its images do not teach these as background"
            )
    return [*lines, *sizes_of(parts)]


def _unlabelled(wholes: list[Parts], written: Parts, lacking: list[list[str]]) -> dict[str, list[str]]:
    """Image, as it is written -> the classes that its dataset lacks."""
    found = {}
    for split, index in written.items():
        owners = [k for k, whole in enumerate(wholes) if split in whole for _ in range(len(whole[split]))]
        for name, owner in zip(index.file_names.tolist(), owners, strict=True):
            if lacking[owner]:
                found[name.decode()] = lacking[owner]
    return found


def _in_two_splits(wholes: list[Parts]) -> list[str]:
    """How many images are in two datasets, and how many of these in different splits of them."""
    seen: dict[int, tuple[int, str]] = {}
    twice, apart = 0, 0
    for owner, whole in enumerate(wholes):
        for split, index in whole.items():
            for known in index_fingerprints(index).tolist():
                other, place = seen.setdefault(known, (owner, split))
                twice, apart = twice + (other != owner), apart + (other != owner and place != split)
    if not twice:
        return []
    spread = f" ({apart} in different splits)" if apart else ""
    return [f"warning: in two of the datasets: {counted(twice, 'image')}{spread}; `frcnn check-data --fix` keeps one"]
