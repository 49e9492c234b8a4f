"""A detector cut into what a graph computes and what torch computes.

Two graphs hold all that is heavy and has fixed operators; everything between and behind them, from the choice of
proposals to the last suppression, is the detector's own code. Whatever runs the graphs therefore finds what torch
finds, up to the rounding of its convolutions.

trunk   image (B, 3, H, W) normalised -> maps (B, h, w, C) of every level, logits (B, n), deltas (B, n, 4) of each
head    pooled (R, S, S, C) -> feature (R, F)
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from detection.model.faster_rcnn import FasterRCNN

Graph = Callable[[np.ndarray], Sequence[np.ndarray]]
"""One float32 array in, the outputs in order, as arrays of their own; may be called from several threads."""


class TrunkGraph(nn.Module):
    """Backbone, neck and RPN head as one function of an image."""

    def __init__(self, model: FasterRCNN) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        maps = self.model.trunk(x)
        logits, deltas = self.model.rpn.head(maps)
        return (*[m.permute(0, 2, 3, 1) for m in maps], *logits, *deltas)


class HeadGraph(nn.Module):
    """The region head as a function of features that lie channels-last."""

    def __init__(self, model: FasterRCNN) -> None:
        super().__init__()
        self.head = model.roi_stage.head

    def forward(self, pooled: Tensor) -> Tensor:
        return self.head(pooled.permute(0, 3, 1, 2))


class Maps(list[Tensor]):
    """Feature maps, with what the RPN head says of them: it was computed in the same graph."""

    def __init__(self, maps: list[Tensor], logits: list[Tensor], deltas: list[Tensor]) -> None:
        super().__init__(maps)
        self.logits, self.deltas = logits, deltas


class _Trunk:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def __call__(self, x: Tensor) -> Maps:
        found = [torch.from_numpy(a) for a in self.graph(x.contiguous().numpy())]
        levels = len(found) // 3
        maps = [m.permute(0, 3, 1, 2) for m in found[:levels]]
        return Maps(maps, found[levels : 2 * levels], found[2 * levels :])


class _RPNHead(nn.Module):
    def forward(self, maps: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        assert isinstance(maps, Maps), "the maps of a graph carry the RPN's answers"
        return maps.logits, maps.deltas


class _Head(nn.Module):
    def __init__(self, graph: Graph, outputs: int) -> None:
        super().__init__()
        self.graph, self.outputs = graph, outputs

    def forward(self, pooled: Tensor) -> Tensor:
        if not len(pooled):
            return pooled.new_zeros(0, self.outputs)
        return torch.from_numpy(self.graph(pooled.permute(0, 2, 3, 1).contiguous().numpy())[0])


def with_graphs(model: FasterRCNN, trunk: Graph, head: Graph) -> FasterRCNN:
    """A copy of `model` that computes its trunk and head by the graphs, and serves only."""
    served = copy.copy(model)  # its parts are shared, none is changed
    served._modules = {k: v for k, v in model._modules.items() if k not in ("backbone", "neck")}
    served.has_neck = model.has_neck
    served.trunk = _Trunk(trunk)  # type: ignore[method-assign]
    served.rpn = copy.copy(model.rpn)
    served.rpn._modules = {**model.rpn._modules, "head": _RPNHead()}
    served.roi_stage = copy.copy(model.roi_stage)
    outputs = model.roi_stage.head.outputs
    served.roi_stage._modules = {**model.roi_stage._modules, "head": _Head(head, outputs)}  # type: ignore[arg-type]
    return served
