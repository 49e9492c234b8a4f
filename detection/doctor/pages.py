"""An examination as text, JSON and one HTML page. Whatever files put into names is shown, never interpreted."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader

from detection.counted import counted
from detection.data.index import AnnotationIndex
from detection.doctor.examine import Advice, Examination
from detection.doctor.findings import RULES, SEVERITIES, Finding
from detection.doctor.plots import thumbnails
from detection.printable import printable
from detection.progress import track

SHOWN = 3
"""items of a finding in the text"""
LISTED = 200
"""items of a finding on the page; the JSON has all"""


def text(examination: Examination) -> str:
    """For a terminal: splits, verdict, findings by importance with their first items, settings."""
    lines = [f"{printable(str(examination.source.root))}: {examination.source.format.upper()}"]
    lines += ["  " + "  ".join(row) for row in _splits(examination)]
    lines += ["", _verdict(examination)]
    for finding in examination.findings:
        lines += ["", *_finding(finding)]
    if examination.advice:
        lines += ["", _advice(examination.advice)]
    return "\n".join(lines)


def to_json(examination: Examination) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "data": str(examination.source.root),
        "format": examination.source.format,
        "status": examination.status,
        "quick": examination.album.quick,
        "counts": {severity: examination.count(severity) for severity in SEVERITIES},
        "unions": examination.unions,
        "splits": {split: _statistics(index) for split, index in examination.parts.items()},
        "findings": [
            {
                "rule": finding.rule,
                "severity": finding.severity,
                "title": RULES[finding.rule].title,
                "mend": RULES[finding.rule].cure,
                "fix": RULES[finding.rule].mended,
                "items": [
                    {"split": i.split, "image": i.image, "annotation": i.annotation, "text": i.text}
                    for i in finding.items
                ],
            }
            for finding in examination.findings
        ],
        "settings": [
            {"name": row.name, "settings": _settings(row), "recall": {f"{k:g}": v for k, v in row.recall.items()}}
            for row in examination.advice
        ],
    }


def html(examination: Examination, histograms: bytes) -> str:
    """One page that needs no other file; a finding whose items have images shows some of them. histograms: a PNG."""
    findings = [
        {
            "severity": finding.severity,
            "title": RULES[finding.rule].title,
            "cure": RULES[finding.rule].cure,
            "found": [printable(item.text) for item in finding.items],
            "examples": [
                {"picture": inline(picture, "jpeg"), "text": printable(item.text)}
                for item, picture in thumbnails(examination, finding)
            ],
        }
        for finding in track(examination.findings, "drawing findings", len(examination.findings))
    ]
    template = Environment(autoescape=True, loader=PackageLoader("detection.doctor", "")).get_template(
        "page.html.jinja"
    )
    return template.render(
        title=f"Check of {printable(str(examination.source.root))}",
        verdict=_verdict(examination),
        splits=_splits(examination),
        findings=findings,
        listed=LISTED,
        advice=_advice(examination.advice) if examination.advice else "",
        pictures=[inline(histograms, "png")],
    )


def inline(content: bytes, kind: str) -> str:
    """A picture as an address that holds it."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _splits(examination: Examination) -> list[list[str]]:
    rows = []
    for split, index in examination.parts.items():
        counts = np.bincount(index.labels, minlength=len(index.class_names))
        common = np.argsort(-counts, kind="stable")[:4]
        names = ", ".join(f"{printable(index.class_names[k])} {counts[k]}" for k in common.tolist())
        more = f" and {len(counts) - 4} more classes" if len(counts) > 4 else ""
        rows.append(
            [
                f"{split:8}",
                f"{counted(len(index), 'image')}",
                f"{counted(len(index.labels), 'object')}",
                f"{names}{more}",
            ]
        )
    rows += [[f"{split:8}", f"is {' and '.join(inside)} together"] for split, inside in examination.unions.items()]
    return rows


def _verdict(examination: Examination) -> str:
    counts = ", ".join(
        f"{n} {severity}{'s' if n != 1 else ''}" for severity in SEVERITIES if (n := examination.count(severity))
    )
    said = {
        2: "training would stop at the errors (or leave these items out, with --dataset.invalid skip)",
        1: "training would run, but the warnings cost accuracy or make results look better than they are",
        0: "nothing that needs fixing",
    }[examination.status]
    quick = (
        "; only headers were read, so broken pixels and copies were not looked for" if examination.album.quick else ""
    )
    return f"{counts + ': ' if counts else ''}{said}{quick}"


def _finding(finding: Finding) -> list[str]:
    rule = RULES[finding.rule]
    by_split: dict[str, int] = {}
    for item in finding.items:
        by_split[item.split] = by_split.get(item.split, 0) + 1
    where = ", ".join(f"{count} in {split}" if split != "all" else f"{count}" for split, count in by_split.items())
    lines = [f"{rule.severity.upper():7}  {rule.title}: {where}"]
    shown = len(finding.items) if finding.rule == "reading" else SHOWN  # a line each, not a line an item
    lines += [f"         {printable(item.text)[:300]}" for item in finding.items[:shown]]
    if len(finding.items) > shown:
        lines.append(f"         ... and {len(finding.items) - shown} more")
    fixed = f"; --fix: {rule.mended}" if rule.mended else ""
    return [*lines, f"         fix: {rule.cure}{fixed}"]


def _settings(row: Advice) -> dict[str, Any]:
    anchors = row.anchors
    return {
        "input.test_short_side": anchors.short_side,
        "input.long_side": anchors.long_side,
        "model.anchors.sizes": anchors.sizes,
        "model.anchors.ratios": anchors.ratios,
    }


def _advice(rows: list[Advice]) -> str:
    """A table of recall, then the options of the last, which is the best for its input size."""
    lines = ["boxes that some anchor overlaps by       IoU .5   IoU .7"]
    for row in rows:
        found = "   ".join(f"{100 * value:4.1f} %" for value in row.recall.values())
        lines.append(f"  {row.name:24} at {row.anchors.short_side:4} pixels  {found}")
    options = " ".join(f"--{key} {_compact(value)}" for key, value in _settings(rows[-1]).items())
    return "\n".join([*lines, f"suggested: {options}"])


def _compact(value: Any) -> str:
    words = json.dumps(value, separators=(",", ":")).replace(".0]", "]").replace(".0,", ",")
    return f"'{words}'" if "[" in words else words


def _statistics(index: AnnotationIndex) -> dict[str, Any]:
    counts = np.bincount(index.labels, minlength=len(index.class_names))
    sides = np.sqrt(np.maximum(index.xywh[:, 2] * index.xywh[:, 3], 0))
    edges = [0, 8, 16, 32, 64, 96, 128, 256, 512, 1024]
    sizes, _ = np.histogram(sides, [*edges, np.inf])
    return {
        "images": len(index),
        "objects": len(index.labels),
        "classes": dict(zip(index.class_names, counts.tolist(), strict=True)),
        "side_of_boxes_pixels": {f"from {low}": n for low, n in zip(edges, sizes.tolist(), strict=True)},
    }
