"""Does a residual backbone beat VGG-16, and does depth help, when everything else is equal?

    python tools/comparison.py --data-root DATA --runs RUNS
    python tools/comparison.py --data-root DATA --runs RUNS --only table

DATA holds imagenet200_32px.tar.xz, 200 classes of 500 images, and bccd, blood cells as PASCAL VOC; RUNS takes the
checkpoints. Every net is pretrained on the same images (configs/comparison/pretrain.yaml), every pretrained net becomes
a detector (detect_resnet.yaml, detect_vgg.yaml), the best residual one is improved as the paper does, and what is
finished is laid side by side. It takes hours on two cores: the same command resumes where it was stopped or killed, and
`--only table` shows at any time what there is. `--mini` runs the same code on narrow nets in minutes: a test of code.
"""

from __future__ import annotations

import sys
from pathlib import Path

from detection.cli.arguments import Parser, at_least
from detection.engine.signals import Interrupted
from detection.errors import InputError
from detection.experiments import backbone_detection, backbone_pretraining
from detection.experiments.backbone_detection import DetectionPlan, detect_all
from detection.experiments.backbone_pretraining import NETS, PROBE, pretrain_all, read_pretraining
from detection.experiments.backbone_report import backbone_report

CONFIGS = Path(__file__).parents[1] / "configs" / "comparison"
IMAGES = ("imagenet200_32px.tar.xz", "imagenet200_32px")
OBJECTS = ("bccd",)

MINI_NETS, MINI_RATES, MINI_SEEDS, MINI_PROBE = ("vgg16", "vgg16_bn", "resnet18"), (0.02,), (0, 1), 2
MINI_PRETRAINING = (
    *("--net.width=4", "--input.crop=32", "--input.short_sides=[32,32]", "--input.workers=0"),
    *("--evaluate.short_side=32", "--statistics=8", "--dataset.hold_out=6", "--train.batch=8"),
    *("--train.epochs=null", "--train.iterations=4", "--train.evaluate_every=2", "--train.log_every=1"),
)
MINI_DETECTION = (
    *("--model.width=4", "--input.train_short_sides=[64]", "--input.test_short_side=64", "--input.long_side=96"),
    *("--input.workers=0", "--model.anchors.sizes=[[16,32]]", "--model.rpn.train_after_nms=40"),
    *("--model.rpn.test_after_nms=10", "--model.roi.batch_per_image=16"),
    *("--train.iterations=2", "--train.evaluate_every=2", "--train.log_every=1"),
)


def main(arguments: list[str]) -> int:
    parser = Parser("comparison.py", "VGG-16, plain and residual nets as backbones, everything else equal.")
    parser.add_argument("--data-root", type=Path, required=True, help="folder of both data sets")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs and their checkpoints")
    parser.add_argument("--results", type=Path, default=Path("results/comparison"), help="folder of tables and figures")
    parser.add_argument("--only", choices=["pretrain", "detect", "table"], help="this part alone, then the table")
    parser.add_argument("--mini", action="store_true", help="narrow nets and few iterations: a test of code, no result")
    parser.add_argument("--resamples", type=at_least(2), default=1000, help="of the bootstrap over images")
    args = parser.parse_args(arguments)
    nets = MINI_NETS if args.mini else NETS
    settings = [f"--data={_data(args.data_root, IMAGES)}", *(MINI_PRETRAINING if args.mini else [])]
    pretraining = read_pretraining(CONFIGS / "pretrain.yaml", settings)
    plan = _plan(args.data_root, args.runs, args.mini)
    if args.only in (None, "pretrain"):
        rates = MINI_RATES if args.mini else backbone_pretraining.RATES
        pretrain_all(pretraining, nets, rates, MINI_PROBE if args.mini else PROBE, args.runs, _say)
    if args.only in (None, "detect"):
        detect_all(plan, nets, _say)
    report = backbone_report(pretraining, plan, nets, ["python", "tools/comparison.py", *arguments], args.resamples)
    for file, what in report.write(args.results).items():
        _say(f"{file}: {what}")
    return 0


def _plan(data: Path, runs: Path, mini: bool) -> DetectionPlan:
    settings = [f"--data={_data(data, OBJECTS)}"]
    if mini:
        return DetectionPlan(CONFIGS, [*settings, *MINI_DETECTION], runs, MINI_RATES, MINI_SEEDS)
    return DetectionPlan(CONFIGS, settings, runs, backbone_detection.RATES, backbone_detection.SEEDS)


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
        print(f"{stop}: saved; the same command resumes it")
        sys.exit(128 + stop.signal)
    except KeyboardInterrupt:
        sys.exit(130)
