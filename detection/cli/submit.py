"""`frcnn submit`: predictions as the evaluation servers of VOC and COCO take them."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from detection.cli.arguments import Parser, add_format, refuse_unused
from detection.counted import counted
from detection.errors import InputError

DESCRIPTION = """Turns predictions in COCO's result format into the files that the evaluation servers take: of PASCAL
VOC results/VOC2012/Main/comp4_det_test_CLASS.txt, of COCO detections_test-dev2017_ALGORITHM_results.json. Pack them
with `tar czf results.tgz results` and `zip`; needs no --device."""


def main(arguments: list[str]) -> int:
    parser = _parser()
    args = parser.parse_args(arguments)
    unused = "algorithm" if args.kind == "voc" else "competition year"
    refuse_unused(parser, args, unused, f"on --kind {args.kind}")

    from detection.evaluation.results import read_results

    results = read_results(args.predictions)
    return _voc(args, results) if args.kind == "voc" else _coco(args, results)


def _parser() -> Parser:
    parser = Parser("frcnn submit", DESCRIPTION)
    parser.add_argument("--predictions", type=Path, required=True, help="JSON in COCO's result format")
    parser.add_argument("--data", required=True, help="dataset that was detected on: a folder or annotation file")
    parser.add_argument("--split", help="split of it; default test where there is one, else the only one")
    add_format(parser)
    parser.add_argument("--kind", choices=["voc", "coco"], required=True, help="whose server")
    parser.add_argument(
        "--competition", choices=["comp3", "comp4"], default="comp4", help="VOC: comp4 with outside data"
    )
    parser.add_argument("--year", choices=["VOC2007", "VOC2012"], default="VOC2012", help="VOC: year of the server")
    parser.add_argument("--algorithm", default="frcnn", help="COCO: name of the method, in the file name")
    parser.add_argument("--output", type=Path, default=Path("results"), help="folder for the files")
    return parser


def _voc(args: argparse.Namespace, results: list[dict[str, Any]]) -> int:
    from detection.data.index import AnnotationIndex
    from detection.evaluation.submission import write_voc_submission
    from detection.evaluation.voc_ap import voc_arrays

    index: AnnotationIndex = _index(args)
    try:
        _, detections = voc_arrays(index, results)
    except InputError as error:
        raise InputError(f"{args.predictions}: {error}") from error
    names = dict(zip(index.image_ids.tolist(), index.stems(), strict=True))
    files = write_voc_submission(args.output, index.class_names, names, detections, args.competition, args.year, "test")
    print(
        f"{counted(len(results), 'detection')} of {counted(len(index), 'image')}, {counted(len(files), 'class')}, "
        f"in {files[0].parent}"
    )
    return 0


def _coco(args: argparse.Namespace, results: list[dict[str, Any]]) -> int:
    from detection.evaluation.submission import coco_submission_name, write_coco_submission
    from detection.files.outputs import refuse_overwriting

    path = args.output / coco_submission_name(args.algorithm)
    refuse_overwriting([path], [args.predictions, Path(args.data)])
    images, categories = _coco_ids(args)
    for k, result in enumerate(results):
        for key, known in (("image_id", images), ("category_id", categories)):
            if result[key] not in known:
                raise InputError(
                    f"{args.predictions}: item {k}: {key} {result[key]} is not in {args.data}; "
                    "give the split that was detected on"
                )
    write_coco_submission(path, results)
    print(f"{counted(len(results), 'detection')} of {counted(len(images), 'image')}\n{path}")
    return 0


def _coco_ids(args: argparse.Namespace) -> tuple[set[int], set[int]]:
    """Ids of the images and of the categories. A file is read here: those of test images have no annotations."""
    path = Path(args.data)
    if not path.is_file() or path.suffix.lower() != ".json":
        index = _index(args)
        return set(index.image_ids.tolist()), set(index.category_ids.tolist())
    try:
        content = json.loads(path.read_bytes())
        return {item["id"] for item in content["images"]}, {item["id"] for item in content["categories"]}
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: is not a COCO file with images and categories ({error!r}); fetch it again"
        ) from error


def _index(args: argparse.Namespace) -> Any:
    from detection.config.schema import Config
    from detection.loading.datasets import find_data

    config = Config()
    source = find_data(replace(config, data=args.data, dataset=replace(config.dataset, format=args.format)))
    split = args.split or ("test" if "test" in source.splits else next(iter(source.splits)))
    return source.read(split)
