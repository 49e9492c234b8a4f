from __future__ import annotations

import numpy as np
import pytest

from detection.predict.draw import class_colour, contact_sheet, draw

NAMES = ["cat", "dog"]


def grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def test_box_outline_lies_on_its_edges_in_the_colour_of_its_class() -> None:
    picture = draw(grey(200, 300), np.array([[50.0, 60.0, 150.0, 160.0]]), np.array([1]), NAMES)
    for x, y in ((50, 110), (149, 110), (100, 159), (149, 60)):
        assert tuple(picture[y, x]) == class_colour(1), (x, y)
    for x, y in ((49, 110), (150, 110), (100, 160), (100, 110)):
        assert tuple(picture[y, x]) == (128, 128, 128), (x, y)


def test_argument_is_not_edited_and_nothing_to_draw_changes_nothing() -> None:
    image = grey(40, 60)
    drawn = draw(image, np.array([[5.0, 5.0, 30.0, 30.0]]), np.array([0]), NAMES, np.array([0.5]))
    assert (image == 128).all() and (drawn != 128).any()
    assert (draw(image, np.zeros((0, 4)), np.zeros(0, int), NAMES) == image).all()


@pytest.mark.parametrize("box", [[-50, -50, 500, 500], [0, 0, 0.2, 0.2], [59.5, 39.5, 60, 40], [30, 30, 30, 30]])
def test_boxes_at_and_over_the_edge_are_drawn(box: list[float]) -> None:
    assert (draw(grey(40, 60), np.array([box], float), np.array([0]), NAMES) != 128).any()


@pytest.mark.parametrize("box", [[-9, -9, -1, -1], [60, 0, 90, 30], [9, 9, 5, 5], [float("nan"), 0, 9, 9]])
def test_boxes_without_a_visible_part_are_left_out(box: list[float]) -> None:
    assert (draw(grey(40, 60), np.array([box], float), np.array([0]), NAMES) == 128).all()


@pytest.mark.parametrize("size", [(1, 1), (8, 1000), (32, 32), (1600, 1200)])
def test_any_size_of_picture(size: tuple[int, int]) -> None:
    picture = draw(grey(*size), np.array([[0, 0, size[1], size[0]]], float), np.array([0]), NAMES, np.array([1.0]))
    assert picture.shape == (*size, 3) and picture.dtype == np.uint8


@pytest.mark.parametrize("name", ["żółw é", "细胞", "\U0001f431", "two\nlines\t\x00", "\udcff", ""])
def test_any_class_name(name: str) -> None:
    assert (draw(grey(90, 120), np.array([[10.0, 30.0, 80.0, 80.0]]), np.array([0]), [name]) != 128).any()


def test_label_of_a_letter_outside_ascii_is_no_empty_box() -> None:
    box, label = np.array([[10.0, 40.0, 90.0, 90.0]]), np.array([0])
    assert (draw(grey(100, 120), box, label, ["é"]) != draw(grey(100, 120), box, label, ["ö"])).any()


def test_labels_make_way_for_one_another() -> None:
    """Two boxes with one corner: the second label is written elsewhere than over the first."""
    boxes, scores = np.array([[40.0, 60.0, 160.0, 160.0]] * 2), np.array([0.9, 0.8])
    alone = draw(grey(200, 200), boxes[:1], np.array([0]), NAMES, scores[:1])
    both = draw(grey(200, 200), boxes, np.array([0, 1]), NAMES, scores)
    assert (alone[:60] != 128).any()
    np.testing.assert_array_equal(alone[:60], both[:60])


def test_colours_are_distinct_and_steady() -> None:
    colours = [class_colour(label) for label in range(80)]
    assert len(set(colours)) == 80 and colours == [class_colour(label) for label in range(80)]
    for first in range(8):
        for second in range(first):
            assert np.abs(np.subtract(colours[first], colours[second])).sum() > 60


def test_label_beyond_the_names_is_a_number() -> None:
    np.testing.assert_array_equal(
        draw(grey(90, 90), np.array([[9.0, 30.0, 80.0, 80.0]]), np.array([5]), NAMES),
        draw(grey(90, 90), np.array([[9.0, 30.0, 80.0, 80.0]]), np.array([5]), ["5"] * 6),
    )


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(H, W, 3\) uint8, got \(3, 8, 8\)"):
        draw(np.zeros((3, 8, 8), np.uint8), np.zeros((0, 4)), np.zeros(0, int), NAMES)
    with pytest.raises(ValueError, match="1 boxes need as many labels and scores"):
        draw(grey(8, 8), np.zeros((1, 4)), np.zeros(2, int), NAMES)
    with pytest.raises(ValueError, match="at least one row"):
        contact_sheet([])


def test_contact_sheet_scales_to_columns_and_takes_ragged_rows() -> None:
    sheet = contact_sheet([[grey(100, 200), grey(50, 50)], [grey(100, 100)]], ("a", "b"), width=60)
    inner = (sheet == 128).all(axis=2).sum()
    assert inner == 30 * 60 + 60 * 60 + 60 * 60
    assert sheet.shape[1] == 2 * 60 + 3 * 12
