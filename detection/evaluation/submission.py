"""Detections as the evaluation servers of PASCAL VOC and COCO take them.

VOC (devkit, 3.4 of its documentation)   results/VOC2012/Main/comp4_det_test_<class>.txt, a line a detection:
                                         image score xmin ymin xmax ymax, 1-based inclusive pixels
COCO (cocodataset.org, upload)           detections_test-dev2017_<algorithm>_results.json, in COCO's result format
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detection.errors import InputError
from detection.evaluation.results import write_results
from detection.evaluation.voc_ap import VocDetections
from detection.files.atomic import write_atomically

BOX_DECIMALS, SCORE_DECIMALS = 2, 5
"""of COCO's submissions, whose file size is limited: a hundredth of a pixel"""


def write_voc_submission(
    folder: Path,
    class_names: Sequence[str],
    image_ids: Mapping[int, str],
    detections: Mapping[str, VocDetections],
    competition: str = "comp4",
    year: str = "VOC2012",
    split: str = "test",
) -> list[Path]:
    """Write FOLDER/results/<year>/Main/<competition>_det_<split>_<class>.txt, empty where a class has no detection.

    image_ids: the number of an image in `detections` -> the name in VOC's lists; detections: by class, boxes 1-based
    inclusive pixels as `voc_arrays` makes them from ours: x1 + 1, y1 + 1, x2, y2. competition: comp3 for systems
    trained on VOC alone, comp4 for others, as those with ImageNet weights. Raises InputError for a class name that
    cannot be in a file name, and for detections of an unknown class or image; nothing is written then.
    """
    unknown = sorted(set(detections) - set(class_names))
    if unknown:
        raise InputError(
            f"VOC submission: detections of class {unknown[0]!r}, which is not among the class names; leave them out"
        )
    main = Path(folder) / "results" / year / "Main"
    files: dict[Path, bytes] = {}
    for name in class_names:
        if not re.fullmatch(r"[\w.+ -]+", name) or name.startswith("."):
            raise InputError(f"VOC submission: class {name!r} cannot be in a file name; rename it in the dataset")
        lines = _voc_lines(detections[name], image_ids, name) if name in detections else []
        files[main / f"{competition}_det_{split}_{name}.txt"] = "".join(f"{line}\n" for line in lines).encode()
    for path, content in files.items():
        write_atomically(path, content)
    return list(files)


def _voc_lines(found: VocDetections, image_ids: Mapping[int, str], name: str) -> list[str]:
    lines = []
    for image, score, box in zip(found.images.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True):
        if image not in image_ids:
            raise InputError(
                f"VOC submission: class {name}: image {image} is not one of the {len(image_ids)} of the split"
            )
        # Nine digits name a float32, so that no two scores become equal.
        lines.append(f"{image_ids[image]} {score:.9g} " + " ".join(f"{side:.3f}" for side in box))
    return lines


def coco_submission_name(algorithm: str, split: str = "test-dev2017") -> str:
    """The file name that COCO's server wants. Raises InputError where `algorithm` cannot be in it."""
    if not re.fullmatch(r"[A-Za-z0-9.-]+", algorithm):
        raise InputError(f"COCO submission: algorithm {algorithm!r} must be letters, digits, dots and hyphens")
    return f"detections_{split}_{algorithm}_results.json"


def write_coco_submission(path: Path | str, results: list[dict[str, Any]]) -> None:
    """Write results with boxes to a hundredth of a pixel and scores to five decimals, in the order given.

    Raises InputError where the name is not one that COCO's server takes, or the file cannot be written.
    """
    path = Path(path)
    if not re.fullmatch(r"detections_[\w-]+_[A-Za-z0-9.-]+_results\.json", path.name):
        raise InputError(f"{path}: COCO's server wants the name detections_test-dev2017_<algorithm>_results.json")
    rounded = [
        {
            "image_id": result["image_id"],
            "category_id": result["category_id"],
            "bbox": [round(float(value), BOX_DECIMALS) for value in result["bbox"]],
            "score": round(float(result["score"]), SCORE_DECIMALS),
        }
        for result in results
    ]
    write_results(path, rounded)
