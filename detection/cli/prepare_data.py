"""The official archives of PASCAL VOC and COCO: fetch, verify, unpack, lay out for `frcnn train --data`.

    frcnn prepare-data voc07 voc12 --output /data [--archives DIR]
    frcnn train --data /data/VOCdevkit/VOC0712 --dataset.train trainval --dataset.val test    (07+12)
    frcnn prepare-data coco2017 --output /data
    frcnn train --data /data/coco

Downloads continue where they broke. What is there already is left alone, so it can be run again at any time. VOC 2012's
test images need an account at its evaluation server and are not fetched.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from detection.cli.arguments import Parser
from detection.data.official import DATASETS, prepare


def main(arguments: list[str]) -> int:
    description = "Fetches, verifies and lays out the official archives of PASCAL VOC and COCO."
    parser = Parser("frcnn prepare-data", description)
    parser.add_argument("datasets", nargs="+", metavar="dataset", help=f"of {', '.join(DATASETS)}")
    parser.add_argument("--output", type=Path, required=True, help="folder for VOCdevkit/, coco/ and archives/")
    parser.add_argument("--archives", type=Path, help="folder with archives that were fetched before")
    args = parser.parse_args(arguments)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not sys.stderr.isatty()) as bars:
        tasks: dict[str, TaskID] = {}

        def show(task: str, done: int, total: int | None) -> None:
            if task not in tasks:
                tasks[task] = bars.add_task(task, total=total)
            bars.update(tasks[task], completed=done, total=total)

        made = prepare(args.datasets, args.output, args.archives, show)
    for folder, new in made.items():
        print(f"{folder}  {'made' if new else 'was there'}")
    return 0
