"""`frcnn split`: a dataset in new parts."""

from __future__ import annotations

from detection.cli.arguments import Parser, add_copy, add_format, at_least, share

DESCRIPTION = """Part all images of a dataset anew into train, val and, with three shares, test, and write them into a
new folder, images as hard links where the file system has them. Every part has about the same share of each class's
objects. Copies of an image stay together, and with --group all images that belong together, such as the frames of a
video. Nothing of the dataset is touched. Needs no --device."""


def main(arguments: list[str]) -> int:
    args = _parser().parse_args(arguments)

    from detection.config.schema import Config
    from detection.doctor.folders import written_as
    from detection.doctor.split import split
    from detection.loading.datasets import find_data
    from detection.printable import printable

    config = Config(data=args.data)
    config.dataset.format, config.dataset.images = args.format, args.images
    source = find_data(config)
    format = args.to or written_as(source.format)
    for line in split(source, args.shares, args.group, args.seed, format, args.output):
        print(printable(line))
    print(f"wrote {format} data to {args.output}")
    return 0


def _parser() -> Parser:
    parser = Parser("frcnn split", DESCRIPTION)
    parser.add_argument("shares", type=share, nargs="+", help="of train, val and test, such as 0.7 0.2 0.1")
    parser.add_argument("--data", required=True, help="dataset: a folder, annotation file or archive, or `shapes`")
    parser.add_argument(
        "--group",
        metavar="REGEX",
        help="images whose names match with the same text (in its first bracket) stay together",
    )
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the draw")
    add_copy(parser)
    add_format(parser)
    parser.add_argument("--images", help="folder of the images, where it is not beside the annotations")
    return parser
