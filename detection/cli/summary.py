"""`frcnn summary`: depth, blocks, parameters, multiply-adds and memory of the paper's nets."""

from __future__ import annotations

from detection.cli.arguments import Parser, at_least
from detection.cli.experiment import add_results, command, finish

DESCRIPTION = """The nets of the ResNet paper, or others by name: depth, blocks, parameters, multiply-adds and memory,
beside the paper's figures."""


def main(arguments: list[str]) -> int:
    parser = Parser("frcnn summary", DESCRIPTION)
    parser.add_argument("--nets", nargs="+", help="such as resnet50 cifar_plain20; default all of the paper")
    parser.add_argument(
        "--shortcut", choices=["A", "B", "C"], help="shortcut of residual nets; default A for CIFAR nets, else B"
    )
    parser.add_argument(
        "--stride-in-1x1",
        action="store_true",
        help="bottlenecks stride in their first 1x1 convolution, as in the paper",
    )
    parser.add_argument("--size", type=at_least(8), help="side of the images, pixels; default 224, for CIFAR 32")
    add_results(parser)
    args = parser.parse_args(arguments)

    from detection.experiments.summary import NETS, summary

    words = command("summary", arguments)
    report = summary(args.nets or list(NETS), args.shortcut, args.stride_in_1x1, args.size, words)
    return finish(report, args.results)
