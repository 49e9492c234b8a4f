"""Which anchors train the RPN."""

import torch

from detection.geometry.anchors import AnchorGenerator
from detection.model.assign import IGNORED, NEGATIVE, POSITIVE, Matcher, Sampler
from detection.model.losses import BoxLoss
from detection.model.rpn import RPN, RPNHead, RPNOutput
from detection.records import Target

ANCHORS = torch.tensor([[-1.0, 0, 9, 10], [0, 0, 10, 10], [10, 10, 20, 20], [12, 0, 22, 10], [0, 30, 10, 40]])
SIZE = (20, 20)


def rpn(inside):
    generator = AnchorGenerator([[10.0]], [1.0], [16])
    return RPN(RPNHead(4, 1), generator, Matcher(0.7, 0.3, best_for_each=True), Sampler(5, 0.5), BoxLoss(), inside)


def labels(inside, *boxes):
    target = Target(torch.tensor(boxes), torch.zeros(len(boxes), dtype=torch.long), torch.zeros(0, 4))
    return rpn(inside)._match(ANCHORS, target, SIZE)[0].tolist()


def test_anchors_across_the_edge_take_no_part_and_are_no_objects_best():
    # The object's best anchor crosses the edge: without it, the best that is inside answers for the object.
    assert labels(False, [-2.0, 0, 8, 8]) == [POSITIVE, IGNORED, NEGATIVE, NEGATIVE, NEGATIVE]
    assert labels(True, [-2.0, 0, 8, 8]) == [IGNORED, POSITIVE, NEGATIVE, IGNORED, IGNORED]


def test_an_image_smaller_than_every_anchor_gives_no_loss():
    target = Target(torch.tensor([[0.0, 0, 4, 4]]), torch.zeros(1, dtype=torch.long), torch.zeros(0, 4))
    output = RPNOutput([torch.zeros(1, 5)], [torch.zeros(1, 5, 4)], [ANCHORS])
    sums = rpn(True).losses(output, [target], [(5, 5)])
    assert sums.count == 0 and all(value == 0 for value in sums.sums.values())
