"""3x3 convolution with a quarter of the multiplications, for the CPU.

Winograd's minimal filtering F(4x4, 3x3) as Lavin & Gray 2016 apply it: a tile of 6x6 pixels and a filter of 3x3 are
transformed, multiplied element by element (36 products instead of 144 for 4x4 outputs), and transformed back. Over
channels the products are 36 matrix products, and both transforms are matrix products as well, so batched products of
torch do all the work. A block of tiles is taken through all steps while it lies in the cache.

image   (N, C, H, W), its memory channels-last
filter  (K, C, 3, 3)
tiles   T of a block
"""

from __future__ import annotations

import torch
from torch import Tensor

TILE, OUT = 6, 4
"""Sides of a tile that goes in and of one that comes out."""

BLOCK = 512
"""Tiles that a block has at least where there are as many: fewer make each product pack its filters too often, more
leave the caches."""

_INPUT = [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0]]
_INPUT += [[0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]]
_FILTER = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]  # in 24ths
_OUTPUT = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]

_BIAS_PLANE = TILE + 1
"""The one of the 36 products that reaches each of the 16 outputs with factor 1."""


def transform_filter(weight: Tensor) -> Tensor:
    """(K, C, 3, 3) -> (36, C, K) float32, computed in float64."""
    g = torch.tensor(_FILTER, dtype=torch.float64) / 24
    planes = torch.einsum("pa,kcab,qb->pqck", g, weight.double(), g)
    return planes.flatten(0, 1).float().contiguous()


def _twice(matrix: list[list[int]]) -> Tensor:
    """The matrix that applies `matrix` to the rows and to the columns of a flattened tile."""
    one = torch.tensor(matrix, dtype=torch.float32)
    return torch.kron(one, one)


def convolve(x: Tensor, planes: Tensor, bias: Tensor, add: Tensor | None, relu: bool) -> Tensor:
    """The convolution of x (N, C, H, W), zero-padded by 1, with the filter that `planes` (36, C, K) were made from.

    bias (K,); add: a map like the result, summed into it; relu: applied last. The result (N, K, H, W) is channels-last
    and differs from a direct convolution by rounding, up to 1e-5 of the map's largest value. Without gradients.
    """
    n, c, height, width = x.shape
    rows, columns, k = -(-height // OUT), -(-width // OUT), planes.shape[2]
    pixels = x.permute(0, 2, 3, 1)
    out = x.new_empty(n, height, width, k)
    added = None if add is None else add.permute(0, 2, 3, 1)
    images = min(n, max(1, BLOCK // (rows * columns)))
    lines = min(rows, -(-BLOCK // columns)) if images == 1 else rows
    strip = x.new_zeros(images, lines * OUT + 2, columns * OUT + 2, c)
    block = _Block(images * lines * columns, c, planes, bias)
    for i in range(0, n, images):
        for row in range(0, rows, lines):
            here = (slice(i, i + images), slice(row * OUT, (row + lines) * OUT))
            found = block(_padded(strip, pixels[here[0]], row * OUT - 1, min(lines, rows - row)))
            found = found[:, : height - row * OUT, :width]
            if added is not None:
                found += added[here]
            if relu:
                found.relu_()
            out[here] = found
    return out.permute(0, 3, 1, 2)


def _padded(strip: Tensor, images: Tensor, top: int, lines: int) -> Tensor:
    """The pixel rows from `top` on that `lines` lines of tiles need, in `strip`, with zeros beyond the images' edges.

    The columns beside the images are zero in `strip` and stay so.
    """
    count, height, width = images.shape[:3]
    part = strip[:count, : lines * OUT + 2]
    first, stop = max(top, 0), min(top + part.shape[1], height)
    part[:, : first - top] = 0
    part[:, stop - top :] = 0
    part[:, first - top : stop - top, 1 : width + 1] = images[:, first:stop]
    return part


class _Block:
    """A block of at most `tiles` tiles on its way, in memory that every block of a map uses again."""

    def __init__(self, tiles: int, channels: int, planes: Tensor, bias: Tensor) -> None:
        self.planes, self.bias = planes, bias
        self.channels, self.outputs = channels, planes.shape[2]
        self.into, self.back = _twice(_INPUT), _twice(_OUTPUT)
        size = tiles * TILE * TILE
        self.pixels, self.transformed = planes.new_empty(2, size * self.channels)
        self.products, self.found = planes.new_empty(2, size * self.outputs)

    def __call__(self, part: Tensor) -> Tensor:
        """(n, 4 rows + 2, 4 columns + 2, C) padded pixels -> (n, 4 rows, 4 columns, K)."""
        n, rows, columns = part.shape[0], part.shape[1] // OUT, part.shape[2] // OUT
        tiles, points, outputs, c, k = n * rows * columns, TILE * TILE, OUT * OUT, self.channels, self.outputs
        a, b, d, e = part.stride()
        view = part.as_strided((n, rows, columns, TILE, TILE, c), (a, OUT * b, OUT * d, b, d, e), part.storage_offset())
        pixels = self.pixels[: tiles * points * c].view(view.shape).copy_(view).view(tiles, points, c)
        transformed = self.transformed[: tiles * points * c].view(tiles, points, c)
        torch.bmm(self.into.expand(tiles, -1, -1), pixels, out=transformed)
        products = self.products[: points * tiles * k].view(points, tiles, k)
        torch.bmm(transformed.transpose(0, 1), self.planes, out=products)
        products[_BIAS_PLANE] += self.bias
        found = self.found[: outputs * tiles * k].view(outputs, tiles * k)
        torch.mm(self.back, products.flatten(1), out=found)
        found = found.view(OUT, OUT, n, rows, columns, k).permute(2, 3, 0, 4, 1, 5)
        # The products have done their work: their memory takes the result.
        result = self.products[: outputs * tiles * k].view(n, rows, OUT, columns, OUT, k).copy_(found)
        return result.view(n, rows * OUT, columns * OUT, k)
