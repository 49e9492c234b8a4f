"""A comparison as Markdown and as one HTML page. APs are in percent here, as the papers print them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment
from markupsafe import Markup

from detection.counted import counted
from detection.evaluation.bootstrap import Interval
from detection.evaluation.compare import Comparison, Row
from detection.evaluation.paper_tables import PaperTable, paper_markdown
from detection.markdown import fenced, markdown_table, markdown_text
from detection.tables import plain_table

NOTHING = "-"

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --paper: #fff; --panel: #f6f8fa; --line: #d0d7de;
  --first: #0072b2; --second: #d55e00 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9da7b3; --paper: #0d1117; --panel: #161b22;
  --line: #30363d; --first: #56b4e9; --second: #e69f00 } }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 90rem; padding: 1rem; color: var(--ink);
  background: var(--paper) }
.scroll { overflow-x: auto } table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left } p, h1, h2 { overflow-wrap: anywhere }
pre { background: var(--panel); padding: .7rem; overflow-x: auto } figure { margin: 0; position: relative }
.charts { display: flex; flex-wrap: wrap; gap: 1rem } .chart { width: 34rem; max-width: 100% }
svg { display: block; width: 100%; height: auto } .chart text { font-size: 11px; fill: var(--ink) }
.chart .value { fill: var(--first) } .chart .within { stroke: var(--ink); stroke-width: 1.5 }
.gallery { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr)) }
.frame { position: relative } .frame img { width: 100%; height: auto; display: block }
.frame svg { position: absolute; inset: 0; height: 100% } figcaption { font-size: .85rem; overflow-wrap: anywhere }
.frame rect { fill: transparent; vector-effect: non-scaling-stroke; stroke-width: 1; stroke: #999 }
.frame rect.first { stroke: var(--first); stroke-width: 3 } .frame rect.neither { stroke-dasharray: 2 3 }
.frame rect.second { stroke: var(--second); stroke-width: 3; stroke-dasharray: 7 3 }
.legend span { border-bottom: 3px solid #999; margin-right: 1rem } .legend .first { border-color: var(--first) }
.legend .second { border-color: var(--second) }
</style>
<h1>{{ title }}</h1>
<pre>{{ command }}</pre>
{% for line in lines %}<p>{{ line }}</p>
{% endfor %}{% if charts %}<div class="charts">{% for chart in charts %}{{ chart }}{% endfor %}</div>
{% endif %}{% for table in tables %}<h2>{{ table.title }}</h2>
<div class="scroll"><table>
<thead><tr>{% for cell in table.header %}<th>{{ cell }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in table.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody>
</table></div>
{% for line in table.lines %}<p>{{ line }}</p>
{% endfor %}{% endfor %}{% for section in sections %}{{ section }}
{% endfor %}</html>
"""


@dataclass(frozen=True)
class Table:
    """Cells of text; lines: paragraphs under it."""

    title: str
    header: list[str]
    rows: list[list[str]]
    lines: list[str]


@dataclass(frozen=True)
class Pages:
    """What surrounds the numbers. dataset: in words, with its split; command: that repeats it; notes: lines that a
    reader should know; paper: published rows to stand beside, or None."""

    dataset: str
    command: str
    notes: list[str]
    paper: PaperTable | None

    title = "Comparison"

    def markdown(self, comparison: Comparison) -> str:
        parts = [f"# {self.title}", fenced(self.command), *map(markdown_text, self._lines(comparison))]
        for table in self._tables(comparison):
            align = "l" + "r" * (len(table.header) - 1)
            parts += [f"## {table.title}", markdown_table(table.header, table.rows, align).strip()]
            parts += map(markdown_text, table.lines)
        if self.paper:
            parts += [f"## {_paper_title(self.paper)}", paper_markdown(self.paper, comparison.measures).strip()]
            parts += map(markdown_text, self._paper_lines(comparison, self.paper))
        return "\n\n".join(parts) + "\n"

    def html(self, comparison: Comparison, charts: Sequence[Markup] = (), sections: Sequence[Markup] = ()) -> str:
        """charts: over the tables; sections: below them."""
        tables = self._tables(comparison)
        if self.paper:
            rows = [
                [row.name, row.tested, *(_percent(row.values.get(name), 100) for name in comparison.measures)]
                for row in self.paper.rows
            ]
            header = ["paper", "tested on", *comparison.measures]
            tables.append(Table(_paper_title(self.paper), header, rows, self._paper_lines(comparison, self.paper)))
        page = Environment(autoescape=True).from_string(PAGE)
        lines, parts = self._lines(comparison), {"charts": charts, "sections": sections}
        return page.render(title=self.title, command=self.command, lines=lines, tables=tables, **parts)

    def _lines(self, comparison: Comparison) -> list[str]:
        counts = f"{counted(comparison.images, 'image')}, {counted(comparison.objects, 'object')}"
        counts += f", {counted(len(comparison.classes), 'class')}"
        lines = [f"{self.dataset}: {counts}. {METHODS[comparison.metric]}, in percent."]
        if comparison.resamples:
            lines.append(
                f"[low, high] holds {100 * comparison.confidence:g} % of {comparison.resamples} bootstrap resamples "
                f"of the images (seed {comparison.seed}, the same for all rows, so those of differences are paired), "
                "moved so that their mean is the measured number; it says nothing of other training seeds."
            )
        return lines + self.notes

    def _tables(self, comparison: Comparison) -> list[Table]:
        tables = [_main_table(comparison)]
        return [*tables, _class_table(comparison)]

    def _paper_lines(self, comparison: Comparison, paper: PaperTable) -> list[str]:
        ours = f"{self.dataset}, {counted(comparison.images, 'image')} and {counted(len(comparison.classes), 'class')}"
        return [
            f"What differs: the rows above are measured on {ours}; the paper's on the images named in its rows, by "
            f"systems trained on {paper.trained}. {paper.differs} Numbers of different images cannot be subtracted."
        ]


def _class_table(comparison: Comparison) -> Table:
    others = comparison.rows[1:]
    header = ["class", *(row.name for row in comparison.rows), *(f"Δ {row.name}" for row in others)]
    rows = [
        [name, *(_percent(row.per_class[name]) + _interval(row.class_intervals.get(name)) for row in comparison.rows)]
        + [_signed(row.class_deltas[name][0]) + _interval(row.class_deltas[name][1], "+") for row in others]
        for name in comparison.classes
    ]
    return Table(f"{comparison.class_measure} of each class", header, rows, [])


METHODS = {
    "coco": "COCO's AP, the mean over IoU .50:.05:.95 and over classes",
    "voc": "PASCAL VOC's AP at IoU .5: 11-point as VOC 2007 reports it, area as VOC 2010 and later do",
}


def _paper_title(paper: PaperTable) -> str:
    return f"He et al. 2015, table {paper.number}: {paper.title}"


def _main_table(comparison: Comparison) -> Table:
    several = len(comparison.rows) > 1
    costs = [row.cost for row in comparison.rows if row.cost]
    timed = any(cost.latency_ms is not None for cost in costs)
    header = ["name", *comparison.measures]
    if several:
        header += [f"Δ {name}" for name in comparison.sampled]
    header += ["parameters M", "multiply-adds G"] if costs else []
    header += ["ms an image"] if timed else []
    rows = [_cells(row, comparison, several, bool(costs), timed) for row in comparison.rows]
    lines = [f"Δ: gain on {comparison.rows[0].name}."] if several else []
    if costs:
        lines.append(
            "Multiply-adds are of convolutions and linear layers for one image of the split's median size at the run's "
            f"test size, with all proposals ({_sizes(comparison)}), in one pass; "
            "pooling, norms and suppression are not counted."
        )
    if timed:
        lines.append("Time is the median of single images, from the decoded picture to its boxes.")
    return Table("Runs", header, rows, lines)


def _sizes(comparison: Comparison) -> str:
    found = {
        f"{row.cost.size[0]} x {row.cost.size[1]} pixels and {row.cost.regions}": None
        for row in comparison.rows
        if row.cost
    }
    return "; ".join(found)


def _cells(row: Row, comparison: Comparison, several: bool, costs: bool, timed: bool) -> list[str]:
    cells = [row.name]
    cells += [_percent(row.values[name]) + _interval(row.intervals.get(name)) for name in comparison.measures]
    if several:
        # The first row has nothing to gain on.
        cells += [
            "" if not row.deltas else _signed(row.deltas.get(name)) + _interval(row.delta_intervals.get(name), "+")
            for name in comparison.sampled
        ]
    if costs:
        cells += [f"{row.cost.parameters / 1e6:.2f}", f"{row.cost.multiply_adds / 1e9:.4g}"] if row.cost else ["", ""]
    if timed:
        cells.append("" if row.cost is None or row.cost.latency_ms is None else f"{row.cost.latency_ms:.1f}")
    return cells


def _percent(value: float | None, whole: float = 1.0) -> str:
    return NOTHING if value is None else f"{100 * value / whole:.1f}"


def _signed(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:+.1f}"


def _interval(found: Interval | None, sign: str = "") -> str:
    return "" if found is None else f" [{100 * found.low:{sign}.1f}, {100 * found.high:{sign}.1f}]"


def terminal_text(comparison: Comparison) -> str:
    """The main table for a terminal."""
    table = _main_table(comparison)
    return plain_table(table.header, table.rows)
