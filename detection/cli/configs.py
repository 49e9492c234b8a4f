"""`frcnn configs`: the configs that come with the toolkit."""

from __future__ import annotations

from detection.cli.arguments import Parser
from detection.config.shipped import find_config, shipped_configs, summary_of

DESCRIPTION = """List the configs that come with the toolkit, or print one, to be changed and given back:
`frcnn configs coco/r50_fpn_1x > mine.yaml`. Every command that takes --config takes their names."""


def main(arguments: list[str]) -> int:
    parser = Parser("frcnn configs", DESCRIPTION)
    parser.add_argument("name", nargs="?", help="print this one")
    args = parser.parse_args(arguments)
    if args.name:
        print(find_config(args.name).read_text(encoding="utf-8"), end="")
        return 0
    known = shipped_configs()
    width = max(map(len, known))
    for name, path in known.items():
        print(f"{name:{width}}  {summary_of(path)}")
    return 0
