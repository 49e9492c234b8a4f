import math

import numpy as np
import pytest

from detection.geometry.anchors import AnchorGenerator, cell_anchors

RATIOS = [0.5, 1.0, 2.0]
LAYOUTS = {
    "fpn": ([[32.0], [64.0], [128.0], [256.0], [512.0]], [4, 8, 16, 32, 64]),
    "c4": ([[32.0, 64.0, 128.0, 256.0, 512.0]], [16]),
}


@pytest.fixture(scope="module")
def stored(references):
    return np.load(references / "primitives" / "primitives.npz")


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_equal_detectron2(stored, layout, offset):
    sizes, strides = LAYOUTS[layout]
    shapes = [(max(1, 64 // s), max(1, 96 // s)) for s in strides]
    for i, ours in enumerate(AnchorGenerator(sizes, RATIOS, strides, offset)(shapes)):
        np.testing.assert_allclose(ours.numpy(), stored[f"anchors_{layout}_offset{offset}_{i}"], atol=1e-4)


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_cells_equal_detectron2_and_rounded_ones_torchvision(stored, layout):
    sizes = [size for level in LAYOUTS[layout][0] for size in level]
    np.testing.assert_allclose(cell_anchors(sizes, RATIOS), stored[f"cell_{layout}_detectron2"], rtol=1e-6)
    rounded = cell_anchors(sizes, RATIOS, rounded=True)
    if layout == "c4":  # torchvision runs over ratios, then sizes
        rounded = rounded.view(5, 3, 4).transpose(0, 1).reshape(15, 4)
    assert np.array_equal(rounded, stored[f"cell_{layout}_torchvision"])


def test_classic_anchors_equal_py_faster_rcnns(stored):
    (ours,) = AnchorGenerator([[128.0, 256.0, 512.0]], RATIOS, [16], offset=0.5, classic=True)([(1, 1)])
    theirs = stored["cell_vgg_py_faster_rcnn"].reshape(3, 3, 4).transpose(1, 0, 2)  # they run over ratios, then sizes
    assert np.array_equal(ours, theirs.reshape(9, 4) + [0, 0, 1, 1])  # their far edge is the last pixel inside


def test_cells_by_hand():
    wide, square = cell_anchors([8.0], [0.25, 1.0])
    assert wide.tolist() == [-8, -2, 8, 2] and square.tolist() == [-4, -4, 4, 4]  # ratio is height / width
    for x1, y1, x2, y2 in cell_anchors([30.0, 50.0], RATIOS)[3:].tolist():
        assert math.isclose((x2 - x1) * (y2 - y1), 2500, rel_tol=1e-5)


def test_order_is_row_column_anchor():
    (anchors,) = AnchorGenerator([[4.0, 8.0]], [1.0], [16])([(2, 3)])
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    assert anchors.shape == (12, 4)
    assert centres[::2].tolist() == [[0, 0], [16, 0], [32, 0], [0, 16], [16, 16], [32, 16]]
    assert (anchors[:, 2] - anchors[:, 0]).tolist() == [4, 8] * 6


def test_same_shape_gives_the_remembered_tensor_and_weights_hold_none():
    generator = AnchorGenerator([[4.0]], [1.0], [16])
    assert generator([(2, 3)])[0] is generator([(2, 3)])[0]
    assert not generator.state_dict() and generator.per_cell == 1


def test_levels_of_one_shape_keep_their_own_anchors():
    fine, coarse = AnchorGenerator([[4.0], [8.0]], [1.0], [16, 32])([(1, 2), (1, 2)])
    assert fine.tolist() == [[-2, -2, 2, 2], [14, -2, 18, 2]]
    assert coarse.tolist() == [[-4, -4, 4, 4], [28, -4, 36, 4]]


def test_uneven_levels_are_refused():
    with pytest.raises(ValueError, match="1 lists of sizes for 2 feature levels"):
        AnchorGenerator([[4.0]], [1.0], [16, 32])
    with pytest.raises(ValueError, match="every level needs the same number of sizes"):
        AnchorGenerator([[4.0], [4.0, 8.0]], [1.0], [16, 32])
