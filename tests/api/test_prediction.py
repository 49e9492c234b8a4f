"""What was found, in the forms of other libraries, and empty."""

import numpy as np
import pytest

import detection


@pytest.fixture(scope="module")
def found(detector, photo):
    return detector(photo)


def test_supervision_takes_it(found):
    supervision = pytest.importorskip("supervision")
    theirs = found.to_supervision()
    assert isinstance(theirs, supervision.Detections) and len(theirs) == len(found) > 0
    assert np.array_equal(theirs.xyxy, found.boxes) and np.array_equal(theirs.class_id, found.labels)
    assert tuple(theirs.data["class_name"]) == found.names and theirs[theirs.confidence > 2].xyxy.shape == (0, 4)
    drawn = supervision.BoxAnnotator().annotate(found.image.copy(), theirs)
    assert (drawn != found.image).any()


def test_pandas_takes_it(found):
    pytest.importorskip("pandas")
    table = found.to_dataframe()
    assert table.groupby("name").size().sum() == len(found)
    assert table.iloc[0].score == found.scores[0] and tuple(table.name) == found.names


def test_nothing_found_is_a_prediction_like_any_other(found):
    nothing = found.above(1.0)
    assert len(nothing) == 0 and not nothing and nothing.names == () and nothing.to_coco(1) == []
    assert np.array_equal(nothing.draw(), found.image) and repr(nothing).startswith("Prediction(0 objects in 96x96")


@pytest.mark.parametrize(("library", "form"), [("supervision", "to_supervision"), ("pandas", "to_dataframe")])
def test_nothing_found_in_the_forms_of_other_libraries(found, library, form):
    pytest.importorskip(library)
    assert len(getattr(found.above(1.0), form)()) == 0


def test_representations_are_a_line(found, detector):
    assert len(repr(found)) < 120 and f"{len(found)} objects" in repr(found)
    assert len(repr(detector)) < 120 and "resnet18" in repr(detector)


@pytest.mark.parametrize("score", [-0.1, 1.5, float("nan"), "high", None])
def test_a_threshold_outside_0_to_1_is_refused(found, detector, photo, score):
    with pytest.raises(detection.InputError, match="score: .* is not a number from 0 to 1"):
        found.above(score)
    if score is not None:
        with pytest.raises(detection.InputError, match="score: .* is not a number from 0 to 1"):
            detector(photo, score=score)


def test_category_ids_are_as_many_as_classes(found):
    assert found.to_coco(1, np.arange(6))[0]["category_id"] == found.labels[0]
    with pytest.raises(detection.InputError, match="category_ids: got 2 for 6 classes"):
        found.to_coco(1, [1, 2])
