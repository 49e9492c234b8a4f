"""Does a residual backbone beat VGG-16, and does depth help, when everything else is equal?

    python tools/comparison.py --data-root DATA --runs RUNS
    python tools/comparison.py --data-root DATA --runs RUNS --only table

DATA holds imagenet200_32px.tar.xz, 200 classes of 500 images, and bccd, blood cells as PASCAL VOC; RUNS takes the
checkpoints. Every net is pretrained on the same images (configs/comparison/pretrain.yaml), every pretrained net becomes
a detector (detect_resnet.yaml, detect_vgg.yaml), the best residual one is improved as the paper does, and what is
finished is laid side by side. It takes hours on two cores: the same command resumes where it was stopped or killed, and
`--only table` shows at any time what there is. What finished runs found is kept in RESULTS/record, without weights, so
that another machine goes on with the other nets. With a GPU, `--scale full --jobs 12` takes minutes, at full width.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from detection.cli.arguments import Parser, at_least
from detection.config.pretrain import PretrainConfig
from detection.config.shipped import FOLDER
from detection.engine.signals import Interrupted
from detection.errors import InputError
from detection.experiments import backbone_detection, backbone_pretraining
from detection.experiments.backbone_detection import (
    DetectionPlan,
    best_residual,
    detect_with,
    improve_best,
    lacks_weights,
)
from detection.experiments.backbone_pretraining import NETS, PROBE, pretrain_net, read_pretraining
from detection.experiments.backbone_report import backbone_report
from detection.experiments.jobs import Jobs
from detection.experiments.record import forget_net, keep, restore

CONFIGS = FOLDER / "comparison"
IMAGES = ("imagenet200_32px.tar.xz", "imagenet200_32px")
OBJECTS = ("bccd",)


@dataclass(frozen=True)
class Scale:
    """How large the experiment is: settings over those of the configs, learning rates and seeds that are tried."""

    pretraining: tuple[str, ...] = ()
    detection: tuple[str, ...] = ()
    nets: tuple[str, ...] = NETS
    rates: tuple[float, ...] = backbone_pretraining.RATES
    detection_rates: tuple[float, ...] = backbone_detection.RATES
    seeds: tuple[int, ...] = backbone_detection.SEEDS
    probe: int = PROBE


def _on_a_gpu(width: int) -> Scale:
    """Larger batches, and as many iterations as epochs of them make: a small step leaves a GPU idle."""
    return Scale(
        pretraining=(
            *(f"--net.width={width}", "--train.batch=256", "--train.tf32=true", "--input.workers=2"),
            *("--train.evaluate_every=371", "--train.checkpoint_every=371", "--evaluate.batch=500"),
        ),
        detection=(f"--model.width={width}", "--train.tf32=true", "--train.checkpoint_every=800"),
        rates=(0.2, 0.1, 0.05, 0.02),
        probe=200,
    )


SCALES = {
    "quarter": Scale(),
    "half": _on_a_gpu(32),
    "full": _on_a_gpu(64),
    "mini": Scale(
        pretraining=(
            *("--net.width=4", "--input.crop=32", "--input.short_sides=[32,32]", "--input.workers=0"),
            *("--evaluate.short_side=32", "--statistics=8", "--dataset.hold_out=6", "--train.batch=8"),
            *("--train.epochs=null", "--train.iterations=4", "--train.evaluate_every=2", "--train.log_every=1"),
        ),
        detection=(
            *("--model.width=4", "--input.train_short_sides=[64]", "--input.test_short_side=64"),
            *("--input.long_side=96", "--input.workers=0", "--model.anchors.sizes=[[16,32]]"),
            *("--model.rpn.train_after_nms=40", "--model.rpn.test_after_nms=10", "--model.roi.batch_per_image=16"),
            *("--train.iterations=2", "--train.evaluate_every=2", "--train.log_every=1"),
        ),
        nets=("vgg16", "vgg16_bn", "resnet18"),
        rates=(0.02,),
        detection_rates=(0.02,),
        seeds=(0, 1),
        probe=2,
    ),
}
"""quarter: nets of a quarter of the published width, hours on two cores. half, full: on a GPU."""


def main(arguments: list[str]) -> int:
    args = _parser().parse_args(arguments)
    scale = SCALES[args.scale]
    settings = [f"--data={_data(args.data_root, IMAGES)}", *scale.pretraining]
    settings += [f"--train.epochs={args.epochs}"] if args.epochs else []
    pretraining = read_pretraining(CONFIGS / "pretrain.yaml", settings)
    words = [f"--data={_data(args.data_root, OBJECTS)}", *scale.detection]
    words += [f"--train.iterations={args.iterations}", f"--train.evaluate_every={args.iterations}"] * bool(
        args.iterations
    )
    plan = DetectionPlan(CONFIGS, words, args.runs, scale.detection_rates, scale.seeds)
    record = args.results / "record"
    restore(record, args.runs, {name: getattr(args, name) for name in ("scale", "epochs", "iterations")})
    if args.only != "table":
        with Jobs(args.jobs, args.runs / "logs") as jobs:
            nets = args.nets or scale.nets
            chains = [partial(_one_net, net, pretraining, plan, scale, args, jobs) for net in nets]
            jobs.together(chains if args.jobs == 1 else chains[::-1])  # the deepest takes longest: it goes first
            best = best_residual(plan, scale.nets) if args.only is None else None
            if best is not None:
                if lacks_weights(plan, best):
                    _say(f"{best}: its weights are gone; trained once more")
                    forget_net(args.runs, best)
                    _one_net(best, pretraining, plan, scale, args, jobs)
                improve_best(plan, scale.nets, _say, jobs)
                keep(args.runs, record)
    command = ["python", "tools/comparison.py", *arguments]
    report = backbone_report(pretraining, plan, scale.nets, command, args.resamples)
    for file, what in report.write(args.results).items():
        _say(f"{file}: {what}")
    return 0


def _one_net(
    net: str, pretraining: PretrainConfig, plan: DetectionPlan, scale: Scale, args: argparse.Namespace, jobs: Jobs
) -> None:
    if args.only in (None, "pretrain"):
        pretrain_net(pretraining, net, scale.rates, scale.probe, args.runs, _say, jobs)
    if args.only in (None, "detect"):
        detect_with(plan, net, _say, jobs)
    keep(args.runs, args.results / "record")


def _parser() -> Parser:
    parser = Parser("comparison.py", "VGG-16, plain and residual nets as backbones, everything else equal.")
    parser.add_argument("--data-root", type=Path, required=True, help="folder of both data sets")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs and their checkpoints")
    parser.add_argument("--results", type=Path, default=Path("results/comparison"), help="folder of tables and figures")
    parser.add_argument("--only", choices=["pretrain", "detect", "table"], help="this part alone, then the table")
    parser.add_argument("--scale", choices=list(SCALES), default="quarter", help="width of the nets, as a share of the "
                        "published one; half and full: on a GPU; mini: a test of the code, no result")  # fmt: skip
    parser.add_argument("--nets", nargs="+", choices=NETS, help="train these, in this order; else all that there are")
    parser.add_argument("--jobs", type=at_least(1), default=1, help="trainings at once, for a GPU and many cores")
    parser.add_argument("--epochs", type=at_least(1), help="of the pretraining, in place of the configs'")
    parser.add_argument("--iterations", type=at_least(1), help="of a detector's training, in place of the configs'")
    parser.add_argument("--resamples", type=at_least(2), default=1000, help="of the bootstrap over images")
    return parser


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
