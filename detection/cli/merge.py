"""`frcnn merge`: several datasets as one."""

from __future__ import annotations

from detection.cli.arguments import Parser, add_copy

DESCRIPTION = """Write the images of several datasets, each of any format, into one new folder, images as hard links
where the file system has them: splits of one name together, with the classes of all. Where a dataset lacks classes of
another, unlabelled.json says so of its images, for `frcnn train --unlabelled`. Nothing of the datasets is touched.
Needs no --device."""


def main(arguments: list[str]) -> int:
    args = _parser().parse_args(arguments)

    from detection.config.schema import Config
    from detection.doctor.folders import written_as
    from detection.doctor.merge import merge
    from detection.errors import InputError
    from detection.loading.datasets import find_data
    from detection.printable import printable

    if len(args.datasets) < 2:
        raise InputError("give two or more datasets; `frcnn convert` copies one")
    sources = [find_data(Config(data=data)) for data in args.datasets]
    format = args.to or written_as(sources[0].format)
    for line in merge(sources, format, args.output):
        print(printable(line))
    print(f"wrote {format} data to {args.output}")
    return 0


def _parser() -> Parser:
    parser = Parser("frcnn merge", DESCRIPTION)
    parser.add_argument("datasets", nargs="+", help="folders, annotation files or archives")
    add_copy(parser)
    return parser
