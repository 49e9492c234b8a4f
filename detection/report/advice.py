"""What to do next, in three lines at most, each with the number that it rests on."""

from __future__ import annotations

from collections import Counter

import numpy as np

from detection.counted import counted
from detection.report.analysis import Analysis
from detection.report.history import History
from detection.report.missed import CAUSES

FEW = 30
"""Objects of a class below which its numbers say little."""


def next_steps(analysis: Analysis, history: History | None) -> list[str]:
    """The most telling first."""
    found: list[tuple[float, str]] = []
    base, missed = analysis.result.stats["AP"], analysis.missed
    for stage, (count, ap) in analysis.oracles.items():
        causes = Counter(c for c in analysis.causes if c is not None and CAUSES[c].stage == stage)
        if causes:
            (cause, most), share = causes.most_common(1)[0], count / max(missed, 1)
            found.append(
                (
                    ap - base,
                    f"{share:.0%} of the {counted(missed, 'missed object')} are lost by {stage}, which costs "
                    f"{100 * (ap - base):.1f} AP; of {most}: {CAUSES[cause].text}. {_sentence(CAUSES[cause].remedy)}",
                )
            )
    found += _false_alarms(analysis) + _confused(analysis)
    if history is not None and history.verdict:
        found.append((0.02, history.verdict))
    rare = [
        f"{name} ({counted(count, 'object')})"
        for name, count in zip(analysis.index.class_names, _objects(analysis))
        if 0 < count < FEW
    ]
    if rare:
        found.append((0.005, f"Few objects to judge by: {', '.join(rare[:4])}. More of them make the numbers sure."))
    return [text for gain, text in sorted(found, key=lambda pair: -pair[0]) if gain > 0][:3]


def _false_alarms(analysis: Analysis) -> list[tuple[float, str]]:
    count, gain = analysis.errors.tide["nothing there"]
    if not count:
        return []
    text = f"{counted(count, 'detection')} lie where nothing is annotated, which costs {100 * gain:.1f} AP50 (TIDE)"
    return [(gain, f"{text}: see the labels to look at; some may be objects that nobody annotated.")]


def _confused(analysis: Analysis) -> list[tuple[float, str]]:
    count, gain = analysis.errors.tide["wrong class"]
    wrong = analysis.errors.confusion[:-1, :-1].copy()
    np.fill_diagonal(wrong, 0)
    if not count or not wrong.any():
        return []
    truth, seen = np.unravel_index(int(wrong.argmax()), wrong.shape)
    names = analysis.index.class_names
    return [
        (
            gain,
            f"Right classes on all boxes would bring {100 * gain:.1f} AP50 (TIDE); the most frequent confusion: "
            f"{names[truth]} taken for {names[seen]}, {counted(int(wrong[truth, seen]), 'time')}.",
        )
    ]


def _objects(analysis: Analysis) -> list[int]:
    return [int(own.objects.sum()) for own in analysis.matches]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
