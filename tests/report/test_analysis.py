"""The numbers of a report against reckonings of their own, and the whole of it on a small run."""

import json
import shutil

import numpy as np
import pytest
from second_reckoning import SEEN, counts_at, detections

from detection import checkpoint
from detection.cli.main import main
from detection.config.schema import Config
from detection.data.index import AnnotationIndex
from detection.evaluation.results import ground_truth
from detection.loading.datasets import find_data
from detection.report.analysis import analyse
from detection.report.missed import CAUSES, Passage
from detection.report.suspects import suspects
from detection.report.thresholds import at_cost, best, curve
from detection.report.traced import Traced


@pytest.fixture(scope="module")
def index(shapes) -> AnnotationIndex:
    return find_data(Config(data=str(shapes))).read("val")


@pytest.mark.parametrize("seed", range(4))
def test_thresholds_and_causes_against_a_second_reckoning(index, seed):
    results = detections(index, np.random.default_rng(seed))
    passages = [Passage("background", 0.0, 6, 0.9, None)] * len(index.labels)
    analysis = analyse(index, Traced(results, passages))
    for label, own in enumerate(analysis.by_class):
        f1 = {}
        for threshold in {r["score"] for r in results}:
            right, reported, wanted = counts_at(index, results, label, threshold)
            f1[threshold] = 2 * right / (reported + wanted) if wanted else 0.0
        if not wanted or not max(f1.values()):
            assert own.threshold is None
            continue
        assert own.f1 == pytest.approx(max(f1.values()))
        right, reported, wanted = counts_at(index, results, label, own.threshold)
        assert (own.precision, own.recall) == (pytest.approx(right / reported), pytest.approx(right / wanted))
        assert sum(analysis.count(cause, label) for cause in CAUSES) == wanted - right
        # Missed objects and false alarms at a cost each: no other threshold costs less.
        counts = [counts_at(index, results, label, threshold) for threshold in [*f1, 1.1]]
        for missed, alarm in ((5, 1), (1, 100)):
            chosen = at_cost(curve([analysis.matches[label]]), missed, alarm)
            r, n, w = counts_at(index, results, label, chosen.threshold)
            assert missed * (w - r) + alarm * (n - r) == min(missed * (w - r) + alarm * (n - r) for r, n, w in counts)
    assert sum(analysis.count(cause) for cause in CAUSES) == analysis.missed
    assert sum(count for count, _ in analysis.oracles.values()) == analysis.missed
    assert sum(analysis.errors.matched == -1) == analysis.missed


def test_a_perfect_oracle_ends_at_one(index):
    truth = ground_truth(index)["annotations"]
    keys = ("image_id", "category_id", "bbox")
    results = [{**{k: a[k] for k in keys}, "score": 0.9} for a in truth[:2]]
    passages = [SEEN if row < 2 else Passage("anchor", 0.0, 6, 1.0, None) for row in range(len(truth))]
    analysis = analyse(index, Traced(results, passages))
    assert analysis.oracles["proposals"] == (len(truth) - 2, pytest.approx(1.0))
    assert analysis.oracles["boxes"] == (0, pytest.approx(analysis.result.stats["AP"]))


def test_nothing_found_at_all_is_a_report_too(index):
    analysis = analyse(index, Traced([], [Passage("score", 0.0, 0, 0.4, 2)] * len(index.labels)))
    assert analysis.missed == analysis.count("score") == len(index.labels) and analysis.overall.threshold is None
    assert best(curve(analysis.matches)).f1 is None


def test_planted_labels_are_the_first_suspects(index):
    """A label of another class, one too many, one left out, and one that is loose; the detector is right."""
    truth = ground_truth(index)["annotations"]
    keys = ("image_id", "category_id", "bbox")
    results = [{**{k: a[k] for k in keys}, "score": 0.95} for a in truth[1:]]  # none of the first: it is one too many
    labels, xywh, crowd = index.labels.copy(), index.xywh.copy(), index.crowd.copy()
    labels[1] = (labels[1] + 1) % len(index.class_names)
    xywh[2, 2:] *= 0.75
    kept = np.arange(len(labels)) != 3
    offsets = index.offsets - (index.offsets > 3)
    planted = type(index)(
        **{
            **vars(index),
            "offsets": offsets,
            **{name: getattr(index, name)[kept] for name in ("areas", "annotation_ids", "difficult")},
            "labels": labels[kept],
            "xywh": xywh[kept],
            "crowd": crowd[kept],
        }
    )
    passages = [Passage("background", 0.0, 6, 0.99, None), *[SEEN] * (len(labels) - 2)]
    passages[1] = Passage("class", 0.0, int(index.labels[1]), 0.01, 1)
    found = suspects(planted, results, passages)
    kinds = {suspect.kind: suspect.annotation for suspect in found}
    assert len(found) == 4 and kinds == {"spurious": 0, "class": 1, "loose": 2, "missing": None}
    missing = next(suspect for suspect in found if suspect.kind == "missing")
    assert missing.box == pytest.approx(tuple(np.concatenate([index.boxes(0), index.boxes(1)])[3]), abs=0.1)


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "run"
    shutil.copytree(trained, folder)
    return folder


def test_evaluate_writes_the_report_of_its_one_pass(run, tmp_path, capsys):
    words = ["evaluate", f"--checkpoint={run / 'best.pt'}", "--device=cpu", "--workers=0"]
    assert main([*words, f"--output={tmp_path / 'plain'}", "--no-report"]) == 0
    assert not (tmp_path / "plain" / "report").exists()
    assert main([*words, f"--output={tmp_path / 'told'}"]) == 0
    assert "missed at the thresholds" in capsys.readouterr().out
    plain, told = ((tmp_path / name / "predictions.json").read_bytes() for name in ("plain", "told"))
    assert plain == told
    assert main(["report", str(run), "--device=cpu", f"--output={tmp_path / 'report'}"]) == 0
    own, other = (json.loads((tmp_path / name / "report.json").read_text()) for name in ("told/report", "report"))
    assert {k: v for k, v in own.items() if k not in ("command", "title")} == {
        k: v for k, v in other.items() if k not in ("command", "title")
    }


def test_a_report_from_the_command_line(run, capsys):
    assert main(["report", str(run), "--device=cpu"]) == 0
    said = capsys.readouterr().out
    assert "AP50" in said and "missed at the thresholds" in said
    content = json.loads((run / "report" / "report.json").read_text())
    objects = sum(cause["objects"] for cause in content["causes"].values())
    assert objects == len(content["missed"])
    assert "<h1>" in (run / "report" / "report.html").read_text()
    assert "annotations" in json.loads((run / "report" / "suspects.json").read_text())
    assert main(["report", str(run), "--device=cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["causes"] == content["causes"]


def test_thresholds_are_kept_and_used(run, shapes, capsys):
    file = run / "best.pt"
    content = checkpoint.load(file, "detection")
    checkpoint.save(file, {**content, "thresholds": [0.0, 2.0, 2.0, 2.0, 2.0, 2.0]})
    image = sorted((shapes / "val").glob("*.jpg"))[0]
    words = [
        "predict",
        f"--checkpoint={file}",
        f"--output={run / 'found'}",
        "--device=cpu",
        "--no-pictures",
        str(image),
    ]
    assert main(words) == 0
    (record,) = json.loads((run / "found" / "predictions.json").read_text())
    names = {found["class"] for found in record["detections"]}
    assert names == {content["classes"][0]}
    assert main([*words, "--score=0.01"]) == 0
    assert "in place of the thresholds" in capsys.readouterr().out
    assert main(["threshold", str(run), "--clear"]) == 0
    assert "thresholds" not in checkpoint.load(file, "detection")


def test_both_costs_or_none(run, capsys):
    assert main(["threshold", str(run), "--missed=5"]) == 2
    assert "--false-alarm: give both" in capsys.readouterr().err


def test_a_training_ends_with_a_report(shapes, tiny, tmp_path, capsys):
    assert main(["train", *tiny, f"--data={shapes}", f"--output={tmp_path / 'run'}", "--evaluate.report=true"]) == 0
    assert "missed at the thresholds" in capsys.readouterr().out
    assert (tmp_path / "run" / "report" / "report.html").exists()
