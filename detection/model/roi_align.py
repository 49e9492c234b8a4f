"""RoIAlign on the CPU as weighted sums of pixels, the work that recommender systems' embedding tables have tuned.

Each bin of a region is a sum of a few pixels with fixed weights, that is an embedding bag over the table of the maps'
pixels. `F.embedding_bag` computes those on all cores with vector instructions, forward and backward; torchvision's
kernel takes one core and one number at a time.

maps     per level (B, C, H, W), best with their memory channels-last
regions  (R, 5): image, x1, y1, x2, y2 in pixels of the network's input
levels   (R,) int64: which of the maps serves a region
pooled   (R, C, S, S), channels-last
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 4_000_000
"""Pixels whose rows and weights are computed at once, which bounds the memory that this takes."""


def roi_align(
    maps: list[Tensor], regions: Tensor, levels: Tensor, size: int, scales: list[float], ratio: int, aligned: bool
) -> Tensor:
    """For each region what `torchvision.ops.roi_align` gives on its map in float32, up to rounding.

    size: S; scales: per level, map pixels an input pixel; ratio: points a bin and axis, 0 adapts it to each region;
    aligned: with the half-pixel correction. Gradients reach `maps`, not `regions`.
    """
    channels = maps[0].shape[1]
    tables = [x.permute(0, 2, 3, 1).reshape(-1, channels) for x in maps]
    table = torch.cat(tables) if len(tables) > 1 else tables[0]
    with torch.no_grad():
        placed = _place(maps, regions, levels, size, scales, ratio, aligned)
        parts = _of_like_points(placed.points, size)
        bags = [_bags(placed.take(rows), size) for rows in parts]
        order = torch.cat([levels[:0], *parts])
        indices = torch.cat([levels[:0]] + [bag[0] for bag in bags])
        weights = torch.cat([table.new_zeros(0)] + [bag[1] for bag in bags])
        counts = torch.cat([levels[:0]] + [bag[2] for bag in bags])
    # One call whatever the parts: each would fill a gradient of all maps.
    pooled = F.embedding_bag(indices, table, counts.cumsum(0) - counts, per_sample_weights=weights, mode="sum")
    pooled = pooled.view(len(regions), size * size * channels)
    if len(parts) > 1:
        pooled = pooled.index_select(0, order.argsort())
    return pooled.view(-1, size, size, channels).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class _Placed:
    """Regions on their maps, pairs y before x. first: (R,) table row of the image's first pixel; start, side: (R, 2)
    in map pixels; points: (R, 2) a bin; length: (R, 2) of the map."""

    first: Tensor
    start: Tensor
    side: Tensor
    points: Tensor
    length: Tensor

    def take(self, rows: Tensor) -> _Placed:
        return _Placed(self.first[rows], self.start[rows], self.side[rows], self.points[rows], self.length[rows])


def _place(
    maps: list[Tensor], regions: Tensor, levels: Tensor, size: int, scales: list[float], ratio: int, aligned: bool
) -> _Placed:
    lengths = torch.tensor([x.shape[-2:] for x in maps])
    pixels = lengths.prod(1)
    begins = pixels * torch.tensor([len(x) for x in maps])
    begins = begins.cumsum(0) - begins
    corners = regions[:, 1:].float() * torch.tensor(scales)[levels, None] - (0.5 if aligned else 0.0)
    start = corners[:, [1, 0]]
    side = corners[:, [3, 2]] - start
    if not aligned:
        side = side.clamp(min=1)  # the first RoIAlign made every region a pixel or more
    points = torch.full_like(side, ratio) if ratio else torch.ceil(side / size).clamp(min=0)
    first = begins[levels] + regions[:, 0].long() * pixels[levels]
    return _Placed(first, start, side, points.long(), lengths[levels])


def _of_like_points(points: Tensor, size: int) -> list[Tensor]:
    """Rows of the regions, grouped by the power of two that their points (R, 2) reach, in parts that fit `CHUNK`."""
    kind = torch.ceil(torch.log2(points.amax(1).clamp(min=1).float())).long()
    counts = kind.bincount().tolist() if len(points) else []
    parts: list[Tensor] = []
    for power, rows in enumerate(kind.argsort(stable=True).split(counts)):
        if len(rows):
            parts += rows.split(max(1, CHUNK // (size * size * 4 ** (power + 1))))
    return parts


def _bags(placed: _Placed, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of R * S * S bins, one after the other: rows of the table, their weights, and how many there are a bin."""
    (y, y_weight), (x, x_weight) = (
        _taps(placed.start[:, i], placed.side[:, i], size, placed.points[:, i], placed.length[:, i]) for i in (0, 1)
    )
    lines = placed.first[:, None, None] + y * placed.length[:, 1, None, None]
    indices = lines[:, :, None, :, None] + x[:, None, :, None, :]
    weights = y_weight[:, :, None, :, None] * x_weight[:, None, :, None, :]
    counted = weights != 0
    return indices[counted], weights[counted], counted.sum((3, 4)).flatten()


def _taps(start: Tensor, side: Tensor, size: int, points: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Along one axis: (R, S, P) pixels that each bin sums, and their weights; the arguments are (R,).

    A point between two pixels takes of both; one further than a pixel outside counts as zero.
    """
    share = (side / size)[:, None, None]
    count, last = points.clamp(min=1)[:, None, None], length[:, None, None] - 1
    bins = torch.arange(size)[None, :, None]
    steps = torch.arange(int(count.max()))[None, None]
    at = start[:, None, None] + bins * share + (steps + 0.5) * share / count  # (R, S, points)
    each = ((at >= -1) & (at <= last + 1) & (steps < points[:, None, None])) / count
    low = torch.minimum(at.clamp(min=0).floor(), last)
    part = torch.where(low < last, at.clamp(min=0) - low, 0.0)
    pixels = torch.stack([low, torch.minimum(low + 1, last)], -1).flatten(2)
    weights = torch.stack([(1 - part) * each, part * each], -1).flatten(2)
    return _merged(pixels.long(), weights, last)


def _merged(pixels: Tensor, weights: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """The same sums with each pixel once, where that makes them shorter: close points share pixels."""
    first = pixels.amin(2, keepdim=True)
    span = int((pixels - first).max()) + 1
    if span >= pixels.shape[2]:
        return pixels, weights
    summed = weights.new_zeros(*weights.shape[:2], span).scatter_add_(2, pixels - first, weights)
    return torch.minimum(first + torch.arange(span), last), summed
