"""`frcnn threshold`: from which score on a detection should be believed, chosen on images and kept in a checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from detection.cli.arguments import Parser, above_zero, at_least, refuse_unused
from detection.errors import InputError

DESCRIPTION = """Choose a score threshold for each class by what detections achieve on a split, the validation split by
default, and write them into the checkpoint: `frcnn predict` and `detection.load` leave out what scores less, unless
--score is given. Evaluation is not affected. By default precision and recall count alike (F1)."""


def main(arguments: list[str]) -> int:
    parser = _parser()
    args = parser.parse_args(arguments)
    costs = args.missed is not None, args.false_alarm is not None
    if costs[0] != costs[1]:
        raise InputError("--missed and --false-alarm: give both, what one of each costs")
    if all(costs):
        refuse_unused(parser, args, "beta", "beside --missed and --false-alarm, which choose by cost")

    from detection import checkpoint, parallel
    from detection.api.load import as_loaded
    from detection.evaluation.bootstrap import coco_matches
    from detection.loading.datasets import load_split
    from detection.predict.detector import Detector
    from detection.report.thresholds import at_cost, best, curve
    from detection.tables import plain_table
    from detection.training.validation import evaluate_detector

    file = args.run / "best.pt" if args.run.is_dir() else args.run
    content = checkpoint.load(file, "detection")
    if args.clear:
        content.pop("thresholds", None)
        checkpoint.save(file, content)
        print(f"{file}: has no thresholds any more")
        return 0
    loaded = as_loaded(file, str(parallel.choose_device(args.device)))
    config = loaded.config if args.data is None else replace(loaded.config, data=args.data)
    index, notes = load_split(config, args.split or config.dataset.val or "val", loaded.class_names)
    for note in notes:
        print(note)
    assert isinstance(loaded.detector, Detector)  # of a checkpoint
    results = evaluate_detector(loaded.detector.served(), index, config, workers=args.workers).results
    if not results:
        raise InputError(f"{file}: finds nothing on {len(index)} images; there is no threshold to choose")
    rows, chosen = [], []
    for name, matches in zip(loaded.class_names, coco_matches(index, results)):
        found = curve([matches])
        own = at_cost(found, args.missed, args.false_alarm) if all(costs) else best(found, args.beta)
        fallback = args.fallback if own.threshold is None else own.threshold
        chosen.append(fallback)
        numbers = ["-" if v is None else f"{v:.3f}" for v in (own.precision, own.recall, own.f1)]
        note = "" if own.threshold is not None else "nothing right is found: --fallback"
        rows.append([name, str(found.objects), f"{fallback:.3f}", *numbers, note])
    checkpoint.save(file, {**content, "thresholds": chosen})
    print(plain_table(["class", "objects", "threshold", "precision", "recall", "F1", ""], rows))
    print(f"\n{file}: keeps these thresholds, chosen on {len(index)} images")
    return 0


def _parser() -> Parser:
    parser = Parser("frcnn threshold", DESCRIPTION)
    parser.add_argument("run", type=Path, help="folder that `frcnn train` wrote, or a checkpoint")
    parser.add_argument("--data", help="dataset: a folder or annotation file; default that of the run")
    parser.add_argument("--split", help="split to choose on; default the run's validation split")
    parser.add_argument("--beta", type=above_zero, default=1.0, help="F-beta: 2 weighs recall more, 0.5 precision")
    parser.add_argument("--missed", type=above_zero, help="what a missed object costs, with --false-alarm")
    parser.add_argument("--false-alarm", type=above_zero, help="what a detection of nothing costs, with --missed")
    parser.add_argument("--fallback", type=above_zero, default=0.5, help="for classes of which nothing right is found")
    parser.add_argument("--clear", action="store_true", help="remove the thresholds from the checkpoint")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--workers", type=at_least(0), help="processes that load images; default by cores and device")
    return parser
