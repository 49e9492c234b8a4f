"""Figures: what is drawn, not only that something is."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure

from backbones.analysis.responses import Response
from detection.experiments.figures import (
    Curve,
    GradientHistory,
    Lesions,
    error_curves,
    gradient_figure,
    lesion_figure,
    response_figure,
    smoothed,
)


def drawn(figure: Figure):
    """The panels of a figure that renders."""
    stream = io.BytesIO()
    figure.savefig(stream, dpi=50, format="png")
    assert stream.getvalue().startswith(b"\x89PNG")
    return figure.axes


def curve(level: float) -> Curve:
    return Curve([0, 100, 200], [level, level - 4, level - 8], [100, 200], [level, level - 3])


def labels(panel) -> list[str]:
    return [text.get_text() for text in panel.get_legend().get_texts()]


def test_error_curves_put_the_families_side_by_side():
    runs = {"resnet-20": curve(40), "plain-56": curve(60), "plain-20": curve(50)}
    left, right = drawn(error_curves(runs, "errors", limits=(0, 80)))
    assert left.get_title() == "plain nets" and labels(left) == ["plain-56", "plain-20", "training", "test"]
    assert right.get_title() == "residual nets" and labels(right) == ["resnet-20", "training", "test"]
    training, test = left.lines[:2]
    assert training.get_linestyle() == "--" and test.get_linewidth() > training.get_linewidth()
    assert list(training.get_ydata()) == [60, 56, 52] and list(training.get_xdata()) == [0, 100, 200]
    assert list(test.get_ydata()) == [60, 57] and list(test.get_xdata()) == [100, 200]
    assert left.lines[2].get_color() == right.lines[0].get_color() != training.get_color()
    assert left.get_ylim() == right.get_ylim() == (0, 80)
    assert left.get_ylabel() == "error (%)" and left.get_xlabel() == "iterations"


def test_one_family_has_one_panel():
    (panel,) = drawn(error_curves({"resnet-20": curve(40), "resnet-56": curve(30)}, "errors", held_out="validation"))
    assert len(panel.lines) == 4 and labels(panel)[-1] == "validation"


@pytest.mark.parametrize("window", [1, 2, 3, 9])
def test_smoothing_is_a_mean_over_neighbours(window):
    values = [5.0, 1.0, 4.0, 2.0, 8.0]
    wanted = [np.mean(values[max(i - (window - 1) // 2, 0) : i + window // 2 + 1]) for i in range(5)]
    assert smoothed(values, window) == pytest.approx(wanted)


def test_wrong_lengths_and_nothing_to_draw_are_refused():
    with pytest.raises(ValueError, match="test: 1 values at 0 iterations"):
        Curve([1], [1.0], [], [1.0])
    with pytest.raises(ValueError, match="window 0"):
        Curve([1], [1.0], [1], [1.0], window=0)
    with pytest.raises(ValueError, match="stem: 2 values at 1 iterations"):
        GradientHistory([1], {"stem": [1.0, 2.0]})
    for draw in (lambda: error_curves({}, ""), *(lambda f=f: f({}) for f in (response_figure, lesion_figure))):
        with pytest.raises(ValueError, match="nothing to draw"):
            draw()


def test_responses_in_order_and_sorted():
    stds = {"resnet-20": [0.2, 0.5, 0.3], "plain-20": [0.9, 0.1, 0.4]}
    nets = {name: [Response(f"l{i}", i, std, 0.0) for i, std in enumerate(s, 1)] for name, s in stds.items()}
    ordered, ranked = drawn(response_figure(nets))
    assert [list(line.get_ydata()) for line in ordered.lines] == list(stds.values())
    assert [list(line.get_ydata()) for line in ranked.lines] == [[0.5, 0.3, 0.2], [0.9, 0.4, 0.1]]
    assert labels(ordered) == list(stds) and [line.get_linestyle() for line in ordered.lines] == ["-", "--"]


def test_gradients_by_layer_and_over_training():
    layers = {"resnet-20": {"conv1": 1.0, "linear": 2.0}, "plain-20": {"conv1": 0.01, "linear": 3.0}}
    top, *below = drawn(gradient_figure(layers))
    assert not below and top.get_yscale() == "log" and top.get_ylabel() == "gradient norm"
    assert [list(line.get_ydata()) for line in top.lines] == [[1.0, 2.0], [0.01, 3.0]]
    history = GradientHistory([0, 10], {"stem": [1.0, 0.1], "classifier": [2.0, 0.2]})
    figure = gradient_figure(layers, {"resnet-20": history, "plain-20": history}, relative=True)
    top, left, right = drawn(figure)
    assert [list(line.get_ydata()) for line in right.lines] == [[1.0, 0.1], [2.0, 0.2]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["stem", "classifier"]
    assert left.get_ylim() == right.get_ylim() and left.get_ylabel() == "gradient norm / weight norm"


def test_lesions_with_stages_and_the_intact_net():
    nets = {
        "resnet-8": Lesions(9.0, {"layer1.0": 12.0, "layer2.0": 30.0, "layer3.0": 20.0}),
        "plain-14": Lesions(11.0, {"layer1.0": 80.0, "layer1.1": 70.0, "layer2.1": 90.0}),
    }
    upper, lower = drawn(lesion_figure(nets))
    removed, intact, *between = lower.lines
    assert list(removed.get_ydata()) == [80.0, 70.0, 90.0] and list(removed.get_xdata()) == [1, 2, 3]
    assert list(intact.get_ydata()) == [11.0, 11.0] and labels(lower) == ["one removed", "intact: 11.00 %"]
    assert [line.get_xdata()[0] for line in between] == [2.5]
    assert [text.get_text() for text in upper.texts] == ["stage 2", "stage 3", "stage 4"]
    assert [text.get_text() for text in lower.get_xticklabels()] == ["1", "2", "2"]
    assert upper.get_ylim() == lower.get_ylim()
