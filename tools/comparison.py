"""Does a residual backbone beat VGG-16, and does depth help, when everything else is equal?

    python tools/comparison.py --data-root DATA --runs RUNS

DATA holds imagenet200_32px.tar.xz, 200 classes of 500 images, and bccd, blood cells as PASCAL VOC; RUNS takes the
checkpoints. Every net is pretrained on the same images (configs/comparison/pretrain.yaml). It takes hours on two cores:
the same command goes on where it was stopped or killed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from detection.cli.arguments import Parser
from detection.engine.signals import Interrupted
from detection.errors import InputError
from detection.experiments.backbone_pretraining import NETS, PROBE, RATES, pretrain_all, read_pretraining

CONFIGS = Path(__file__).parents[1] / "configs" / "comparison"
IMAGES = ("imagenet200_32px.tar.xz", "imagenet200_32px")


def main(arguments: list[str]) -> int:
    parser = Parser("comparison.py", "VGG-16, plain and residual nets as backbones, everything else equal.")
    parser.add_argument("--data-root", type=Path, required=True, help="folder of both data sets")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs and their checkpoints")
    parser.add_argument("--only", choices=["pretrain"], help="this part alone")
    args = parser.parse_args(arguments)
    config = read_pretraining(CONFIGS / "pretrain.yaml", [f"--data={_data(args.data_root, IMAGES)}"])
    pretrain_all(config, NETS, RATES, PROBE, args.runs, _say)
    return 0


def _data(root: Path, names: tuple[str, ...]) -> Path:
    """The first of the names that there is below `root`."""
    found = next((root / name for name in names if (root / name).exists()), None)
    if found is None:
        raise InputError(f"{root}: holds no {' or '.join(names)}; give the folder of the data with --data-root")
    return found


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as error:
        print(f"comparison.py: error: {error}", file=sys.stderr)
        sys.exit(2)
    except Interrupted as stop:
        print(f"{stop}: saved; the same command goes on")
        sys.exit(128 + stop.signal)
    except KeyboardInterrupt:
        sys.exit(130)
