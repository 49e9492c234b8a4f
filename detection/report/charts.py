"""Curves as inline SVG: small, sharp on paper and on any screen, in the colours of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 420, 220, 46, 30, 12
POINTS = 300
"""Of a curve at most; more cannot be told apart at this size."""


def curves(
    series: Mapping[str, Sequence[tuple[float, float]]], across: str, up: str, unit: bool = False, steps: bool = False
) -> Markup:
    """A chart of named curves, each a list of (x, y); across, up: titles of the axes; unit: both axes from 0 to 1;
    steps: y holds until the next x."""
    shown = {name: _thinned(list(points)) for name, points in series.items() if len(points)}
    if not shown:
        return Markup("")
    xs, ys = ([point[k] for points in shown.values() for point in points] for k in (0, 1))
    box = (0.0, 1.0, 0.0, 1.0) if unit else (min(xs), max(xs), min(0.0, *ys), max(ys))
    parts = [_axes(box, across, up)]
    for number, points in enumerate(shown.values()):
        placed = [_place(x, y, box) for x, y in points]
        path = "M" + (_stairs(placed) if steps else " L".join(f"{x:.1f} {y:.1f}" for x, y in placed))
        parts.append(Markup('<path class="c{}" d="{}"/>').format(number % 8, path))
    legend = Markup("").join(
        Markup('<span class="key"><i class="c{}"></i>{}</span>').format(number % 8, name)
        for number, name in enumerate(shown)
    )
    title = f"{up} over {across}"
    svg = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, title, Markup("").join(parts)
    )
    return Markup('<figure class="chart">{}<figcaption>{}</figcaption></figure>').format(svg, legend)


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(points) <= POINTS:
        return points
    step = (len(points) - 1) / (POINTS - 1)
    return [points[round(k * step)] for k in range(POINTS)]


def _place(x: float, y: float, box: tuple[float, float, float, float]) -> tuple[float, float]:
    low_x, high_x, low_y, high_y = box
    across = (x - low_x) / ((high_x - low_x) or 1)
    up = (y - low_y) / ((high_y - low_y) or 1)
    return LEFT + across * (WIDTH - LEFT - 8), TOP + (1 - up) * (HEIGHT - TOP - BOTTOM)


def _stairs(placed: list[tuple[float, float]]) -> str:
    parts = [f"{placed[0][0]:.1f} {placed[0][1]:.1f}"]
    parts += [f"H{x:.1f} V{y:.1f}" for x, y in placed[1:]]
    return " ".join(parts)


def _axes(box: tuple[float, float, float, float], across: str, up: str) -> Markup:
    low_x, high_x, low_y, high_y = box
    (x0, y0), (x1, y1) = _place(low_x, low_y, box), _place(high_x, high_y, box)
    lines = Markup('<path class="axis" d="M{:.1f} {:.1f} V{:.1f} H{:.1f}"/>').format(x0, y1, y0, x1)
    texts = [
        (x0, y0 + 14, "start", f"{low_x:.4g}"),
        (x1, y0 + 14, "end", f"{high_x:.4g}"),
        ((x0 + x1) / 2, y0 + 24, "middle", across),
        (x0 - 4, y0, "end", f"{low_y:.3g}"),
        (x0 - 4, y1 + 8, "end", f"{high_y:.3g}"),
        (x0 + 4, y1 + 8, "start", up),
    ]
    labels = [
        Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, escape(text))
        for x, y, anchor, text in texts
    ]
    return lines + Markup("").join(labels)


def bars(rows: Mapping[str, tuple[float, tuple[float, float] | None]], title: str) -> Markup:
    """A chart of named values with their intervals, (low, high) or None, as horizontal bars from 0."""
    line, left, width = 22, 150, 520
    most = max((max(value, within[1] if within else value) for value, within in rows.values()), default=0.0) or 1.0
    parts = [Markup("")]

    def across(value: float) -> float:
        return left + max(value, 0.0) / most * (width - left - 60)

    for number, (name, (value, within)) in enumerate(rows.items()):
        y = TOP + number * line
        label = Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(left - 6, y + 10, _short(name))
        bar = Markup('<rect class="value" x="{}" y="{}" width="{:.1f}" height="12"/>')
        parts += [label, bar.format(left, y, across(value) - left)]
        end = across(value)
        if within is not None:
            low, high = across(within[0]), across(within[1])
            end = max(end, high)
            parts.append(Markup('<path class="within" d="M{:.1f} {} H{:.1f}"/>').format(low, y + 6, high))
        parts.append(Markup('<text x="{:.1f}" y="{}">{:.1f}</text>').format(end + 5, y + 10, 100 * value))
    svg = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        width, TOP + len(rows) * line, title, Markup("").join(parts)
    )
    return Markup('<figure class="chart">{}<figcaption>{}</figcaption></figure>').format(svg, title)


def _short(name: str, letters: int = 24) -> str:
    return name if len(name) <= letters else f"{name[: letters - 1]}…"
