"""`frcnn convert`: a dataset in another format, images and all."""

from __future__ import annotations

from pathlib import Path

from detection.cli.arguments import Parser, add_format

DESCRIPTION = """Write a dataset, of any format that is read, as COCO, PASCAL VOC or YOLO into a new folder: all splits,
with their images as hard links where the file system has them, else as copies. What the format has no word for, and
what cannot be read, is counted and reported. Nothing of the dataset is touched. Needs no --device."""


def main(arguments: list[str]) -> int:
    args = _parser().parse_args(arguments)

    from detection.config.schema import Config
    from detection.doctor.convert import convert
    from detection.loading.datasets import find_data
    from detection.printable import printable

    config = Config(data=args.data)
    config.dataset.format, config.dataset.images = args.format, args.images
    for line in convert(find_data(config), args.to, args.output):
        print(printable(line))
    print(f"wrote {args.to} data to {args.output}")
    return 0


def _parser() -> Parser:
    parser = Parser("frcnn convert", DESCRIPTION)
    parser.add_argument("output", type=Path, help="new folder for the converted dataset")
    parser.add_argument("--data", required=True, help="dataset: a folder, annotation file or archive, or `shapes`")
    parser.add_argument("--to", required=True, choices=["coco", "voc", "yolo"], help="format to write")
    add_format(parser)
    parser.add_argument("--images", help="folder of the images, where it is not beside the annotations")
    return parser
