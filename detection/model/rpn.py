"""Region proposal network (Ren et al. 2015, section 3.1).

maps     per level (B, C, H, W)
logits   per level (B, H*W*A): objectness of each anchor
deltas   per level (B, H*W*A, 4)
anchors  per level (H*W*A, 4)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.norm import conv_norm
from detection.geometry.anchors import AnchorGenerator
from detection.geometry.box_coder import BoxCoder
from detection.geometry.boxes import inside
from detection.model.assign import IGNORED, NEGATIVE, POSITIVE, Matcher, Sampler, generators, goal_boxes
from detection.model.losses import BoxLoss, LossSums
from detection.records import Size, Target


class RPNHead(nn.Module):
    """3x3 convolutions, one in the paper, and two sibling 1x1 convolutions, shared by all levels."""

    def __init__(self, channels: int, anchors_per_cell: int, convolutions: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.deeper = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(convolutions - 1))
        self.objectness = nn.Conv2d(channels, anchors_per_cell, 1)
        self.deltas = nn.Conv2d(channels, anchors_per_cell * 4, 1)
        for layer in (self.conv, *self.deeper, self.objectness, self.deltas):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, maps: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        logits, deltas = [], []
        for x in maps:
            hidden = conv_norm(x, self.conv, relu=True)
            for conv in self.deeper:
                hidden = conv_norm(hidden, conv, relu=True)
            logits.append(
                conv_norm(hidden, self.objectness).permute(0, 2, 3, 1).flatten(1)
            )  # (B, A, H, W) -> (B, H*W*A)
            raw = conv_norm(hidden, self.deltas).permute(0, 2, 3, 1).flatten(1, 2)  # (B, 4A, H, W) -> (B, H*W, 4A)
            deltas.append(raw.unflatten(2, (-1, 4)).flatten(1, 2))  # -> (B, H*W*A, 4)
        return logits, deltas


@dataclass(frozen=True)
class RPNOutput:
    """What the RPN says: per level logits (B, n), deltas (B, n, 4) and the anchors (n, 4) they speak of."""

    logits: list[Tensor]
    deltas: list[Tensor]
    anchors: list[Tensor]


class RPN(nn.Module):
    """Scores and regresses the anchors, and trains on a sample of them; with `inside`, of those that do not cross the
    edge of the image (Faster R-CNN, section 3.3)."""

    def __init__(
        self,
        head: RPNHead,
        anchors: AnchorGenerator,
        matcher: Matcher,
        sampler: Sampler,
        box_loss: BoxLoss,
        inside: bool = False,
    ) -> None:
        super().__init__()
        self.head = head
        self.anchors = anchors
        self.matcher = matcher
        self.sampler = sampler
        self.box_loss = box_loss
        self.inside = inside
        self.coder = BoxCoder()

    def forward(self, maps: list[Tensor]) -> RPNOutput:
        logits, deltas = self.head(maps)
        return RPNOutput(logits, deltas, self.anchors([(x.shape[-2], x.shape[-1]) for x in maps]))

    def losses(
        self, output: RPNOutput, targets: list[Target], sizes: list[Size], seeds: list[int] | None = None
    ) -> LossSums:
        """`rpn_objectness` and `rpn_box`, both summed over the anchors sampled in the batch; the mean over these is
        torchvision's loss. sizes: of the images, without padding."""
        random = generators(seeds, len(targets), output.logits[0].device)
        anchors = torch.cat(output.anchors)
        logits, deltas = torch.cat(output.logits, 1), torch.cat(output.deltas, 1)
        sampled_logits, labels, box_sum = [], [], deltas.new_zeros((), dtype=torch.float32)
        for image, target in enumerate(targets):
            label_of, matched = self._match(anchors, target, sizes[image])
            if not target.background:
                label_of.masked_fill_(label_of == NEGATIVE, IGNORED)
            rows, sampled = self.sampler(label_of, random[image])
            sampled_logits.append(logits[image, rows])
            labels.append(sampled)
            likely = rows[: self.sampler.most_positive]
            goals, positive = goal_boxes(target, matched[likely]), sampled[: len(likely)] == POSITIVE
            box_sum = box_sum + self.box_loss(deltas[image, likely], anchors[likely], goals, self.coder, positive)
        wanted = torch.cat(labels)
        each = F.binary_cross_entropy_with_logits(
            torch.cat(sampled_logits).float(), (wanted == POSITIVE).float(), reduction="none"
        )
        counted = wanted != IGNORED
        objectness = torch.where(counted, each, 0.0).sum()
        return LossSums({"rpn_objectness": objectness, "rpn_box": box_sum}, counted.sum())

    def _match(self, anchors: Tensor, target: Target, size: Size) -> tuple[Tensor, Tensor]:
        """(labels, matched) of the anchors. One that takes no part is no object's best either: it is matched as if it
        were empty."""
        if not self.inside:
            return self.matcher(anchors, target)
        part = inside(anchors, size)
        labels, matched = self.matcher(torch.where(part[:, None], anchors, 0.0), target)
        return labels.masked_fill_(~part, IGNORED), matched
