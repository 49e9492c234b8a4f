"""Numbers of a report in words, the same on the page and in the terminal."""

from __future__ import annotations

from detection.counted import counted
from detection.evaluation.bootstrap import Interval
from detection.printable import printable
from detection.report.advice import next_steps
from detection.report.analysis import Analysis
from detection.report.history import History
from detection.report.missed import CAUSES
from detection.report.thresholds import Operation


def terminal(analysis: Analysis, history: History | None) -> str:
    """The same in about twenty lines."""
    stats, best = analysis.result.stats, analysis.overall
    lines = [
        f"AP {percent(stats['AP'])} {bounds(analysis.intervals.get('AP'))}   AP50 {percent(stats['AP50'])} "
        f"{bounds(analysis.intervals.get('AP50'))}",
        f"best threshold {number(best.threshold)}: {operation(best)}",
        "",
        missed_note(analysis),
    ]
    for key, cause in CAUSES.items():
        if analysis.count(key):
            lines.append(f"  {analysis.count(key):5}  {cause.text}")
    steps = next_steps(analysis, history)
    lines += ["", "next:", *(f"  {number}. {step}" for number, step in enumerate(steps, start=1))] if steps else []
    return "\n".join(printable(line) for line in lines)


def missed_note(analysis: Analysis) -> str:
    asked = sum(passage is not None for passage in analysis.traced.passages)
    return (
        f"{analysis.missed} of {counted(asked, 'object')} are missed at the thresholds above. Each is counted at the "
        "first stage that lost it."
    )


def operation(best: Operation) -> str:
    if best.threshold is None:
        return "nothing to find, or nothing found"
    return f"precision {share(best.precision)}, recall {share(best.recall)}, F1 {number(best.f1)}"


def percent(value: float) -> str:
    return "-" if value < 0 else f"{100 * value:.1f}"


def share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def bounds(found: Interval | None) -> str:
    return "" if found is None else f"[{100 * found.low:.1f}, {100 * found.high:.1f}]"
