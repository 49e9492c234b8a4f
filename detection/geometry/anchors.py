"""Anchors: reference boxes centred on every cell of a feature map.

anchors of a level  (H*W*A, 4): row-major over y, x, then anchor; an anchor runs over sizes, then ratios (h / w)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detection.records import Size

BASE = 16.0
"""Size at which `classic` shapes are rounded: the stride of the authors' networks."""


def cell_anchors(sizes: list[float], ratios: list[float], rounded: bool = False, classic: bool = False) -> Tensor:
    """(A, 4) anchors around the origin; each has the area size^2 and the ratio height / width.

    `rounded` rounds the edges to whole pixels, half to even, as torchvision does; detectron2 does not. `classic` rounds
    the width of an anchor of 16 pixels, then its height, and enlarges it to the size, as py-faster-rcnn does.
    """
    size = torch.tensor(sizes, dtype=torch.float32)[:, None]
    ratio = torch.tensor(ratios, dtype=torch.float32)[None]
    root = ratio.sqrt()
    if classic:
        base = (BASE / root).round()
        width, height = size / BASE * base, size / BASE * (base * ratio).round()
    else:
        width, height = size / root, size * root
    cells = torch.stack([-width, -height, width, height], -1).reshape(-1, 4) / 2  # (S, R, 4) -> (A, 4)
    return cells.round() if rounded else cells


GRID_BYTES = 64 * 2**20
"""Memory that remembered anchors may take: multi-scale training meets many sizes, each of some megabytes."""


class AnchorGenerator(nn.Module):
    """Anchors of every level of a feature pyramid, remembered per map size.

    Args:
        sizes: per level, the square roots of the anchors' areas in pixels.
        ratios: height / width, the same on every level.
        strides: per level, pixels between two cells.
        offset: centre of the first anchor in units of the stride; 0 is the cell's top-left corner, as in detectron2
            and torchvision.
        rounded, classic: see `cell_anchors`.
    """

    def __init__(
        self,
        sizes: list[list[float]],
        ratios: list[float],
        strides: list[int],
        offset: float = 0.0,
        rounded: bool = False,
        classic: bool = False,
    ) -> None:
        super().__init__()
        if len(sizes) != len(strides):
            raise ValueError(f"anchors: {len(sizes)} lists of sizes for {len(strides)} feature levels")
        self.strides = strides
        self.offset = offset
        for i, level_sizes in enumerate(sizes):
            self.register_buffer(f"cells{i}", cell_anchors(level_sizes, ratios, rounded, classic), persistent=False)
        counts = {len(level) for level in sizes}
        if len(counts) > 1:
            raise ValueError("anchors: every level needs the same number of sizes, since they share one RPN head")
        self.per_cell = counts.pop() * len(ratios)
        self._grids: dict[tuple[int, Size, torch.device], Tensor] = {}

    def forward(self, shapes: list[Size]) -> list[Tensor]:
        """Anchors of each level, (H*W*A, 4), for maps of the given (H, W)."""
        return [self._level(i, shape) for i, shape in enumerate(shapes)]

    def _level(self, i: int, shape: Size) -> Tensor:
        cells: Tensor = getattr(self, f"cells{i}")
        key = (i, shape, cells.device)
        if key not in self._grids:
            if sum(grid.nbytes for grid in self._grids.values()) > GRID_BYTES:
                self._grids.clear()
            ys, xs = (
                (torch.arange(n, dtype=torch.float32, device=cells.device) + self.offset) * self.strides[i]
                for n in shape
            )
            y, x = torch.meshgrid(ys, xs, indexing="ij")
            shifts = torch.stack([x, y, x, y], -1)  # (H, W, 4)
            self._grids[key] = (shifts[:, :, None] + cells).reshape(-1, 4)  # (H, W, A, 4) -> (H*W*A, 4)
        return self._grids[key]
