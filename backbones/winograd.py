"""3x3 convolution with a quarter of the multiplications, for the CPU.

Winograd's minimal filtering F(4x4, 3x3) as Lavin & Gray 2016 apply it: a tile of 6x6 pixels and a filter of 3x3 are
transformed, multiplied element by element (36 products instead of 144 for 4x4 outputs), and transformed back. Over
channels the products are 36 matrix products, and both transforms are matrix products as well, so batched products of
torch do all the work. A block of tiles is taken through all steps while it lies in the cache.

image   (N, C, H, W), its memory channels-last
filter  (K, C, 3, 3)
planes  (36, C, K), the transformed filter
tiles   T of a block
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

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


CHANNELS = {"AVX512": 192, "AVX2": 128}.get(torch.backends.cpu.get_cpu_capability(), 256)
"""Channels on either side from which the transforms cost less than they save, by the processor's instructions.

Times as fast as oneDNN on an AMD EPYC, one thread, maps of 14 x 14 to 100 x 136; AVX2 by setting:
          AVX-512                                   AVX2
    128   .9 to 1.2, in training .9 to 1.2          .95 to 1.25, in training .9 to 1.7
    192   1.2 to 1.9, in training 1.0 to 1.8        1.1 to 1.9, in training 1.2 to 2.3
    256   1.3 to 1.9, in training 1.0 to 1.7        1.4 to 1.7, in training 1.2 to 3.1
    512   1.8 to 2.5, in training 1.2 to 2.0        1.8 to 2.5, in training .9 to 3.1
"""


def plain(x: Tensor) -> bool:
    """Whether x is computed with at once and as it is: on the CPU, without autocast, tracing or compilation."""
    traced = torch.jit.is_tracing() or torch.compiler.is_compiling()
    return x.device.type == "cpu" and not torch.is_autocast_enabled("cpu") and not traced


def suits(conv: nn.Conv2d, x: Tensor) -> bool:
    """Whether this is the faster way to convolve x."""
    wide = min(conv.in_channels, conv.out_channels) >= CHANNELS and conv.groups == 1 and conv.kernel_size == (3, 3)
    dense = (conv.stride, conv.padding, conv.dilation) == ((1, 1),) * 3
    return wide and dense and plain(x) and x.dtype == conv.weight.dtype == torch.float32


def transform_filter(weight: Tensor) -> Tensor:
    """(K, C, 3, 3) -> (36, C, K)."""
    # Turned before it grows from 9 to 36 planes, so that the larger ones are never copied.
    points = weight.permute(2, 3, 1, 0).reshape(9, -1)  # (9, C * K)
    return (torch.kron(*[_filter_matrix(weight)] * 2) @ points).view(-1, weight.shape[1], weight.shape[0])


def _filter_matrix(like: Tensor) -> Tensor:
    return like.new_tensor(_FILTER) / 24


def _twice(matrix: list[list[int]]) -> Tensor:
    """The matrix that applies `matrix` to the rows and to the columns of a flattened tile."""
    one = torch.tensor(matrix, dtype=torch.float32)
    return torch.kron(one, one)


def convolve(x: Tensor, planes: Tensor, bias: Tensor, add: Tensor | None = None, relu: bool = False) -> Tensor:
    """The convolution of x (N, C, H, W), zero-padded by 1, with the filter that `planes` were made from.

    bias (K,); add: a map like the result, summed into it; relu: applied last. The result (N, K, H, W) is channels-last
    and differs from a direct convolution by rounding, up to 1e-5 of the map's largest value. Without gradients.
    """
    n, c, height, width = x.shape
    shape = (n, planes.shape[2], height, width)
    out = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    pixels = out.permute(0, 2, 3, 1)
    added = None if add is None else add.permute(0, 2, 3, 1)
    block = _Block(x.shape, planes, bias)
    for here, part in _strips(x, block.images, block.lines):
        found = block(part)[:, : height - here[1].start, :width]
        if added is not None:
            found += added[here]
        if relu:
            found.relu_()
        pixels[here] = found
    return out


def filter_gradient(x: Tensor, grad: Tensor) -> Tensor:
    """(K, C, 3, 3): gradient of the filter, from the image x (N, C, H, W) and the gradient of the result."""
    n, c, height, width = x.shape
    k = grad.shape[1]
    images, lines = _extent(x.shape)
    into, back = _twice(_INPUT), _twice(_OUTPUT).T
    summed = x.new_zeros(TILE * TILE, c, k)
    columns = -(-width // OUT)
    own = x.new_zeros(images, lines * OUT, columns * OUT, k)
    for here, part in _strips(x, images, lines):
        pixels = _tiles(part)
        tiles = len(pixels)
        inside = grad.permute(0, 2, 3, 1)[here]
        own[:, inside.shape[1] :] = 0
        own[: len(inside), : inside.shape[1], :width] = inside
        wanted = own[: len(inside), : part.shape[1] - 2].unflatten(1, (-1, OUT)).unflatten(3, (-1, OUT))
        wanted = wanted.permute(0, 1, 3, 2, 4, 5).reshape(tiles, OUT * OUT, k)
        seen = torch.bmm(into.expand(tiles, -1, -1), pixels)  # (T, 36, C)
        wanted = torch.bmm(back.expand(tiles, -1, -1), wanted)  # (T, 36, K)
        summed.baddbmm_(seen.permute(1, 2, 0), wanted.transpose(0, 1))
    back_to_filter = torch.kron(*[_filter_matrix(x)] * 2).T  # (9, 36)
    return (back_to_filter @ summed.flatten(1)).view(3, 3, c, k).permute(3, 2, 0, 1)


def _extent(shape: torch.Size) -> tuple[int, int]:
    """Images and lines of tiles in a block: whole small images, or lines of a large one."""
    n, _, height, width = shape
    rows, columns = -(-height // OUT), -(-width // OUT)
    images = min(n, max(1, BLOCK // (rows * columns)))
    return images, min(rows, -(-BLOCK // columns)) if images == 1 else rows


def _strips(x: Tensor, images: int, lines: int) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """Of each block: the images and rows of its result, and its pixels (n, 4 lines + 2, 4 columns + 2, C), zero beyond
    the images' edges, in memory that the next block uses again."""
    n, c, height, width = x.shape
    pixels = x.permute(0, 2, 3, 1)
    strip = x.new_zeros(images, lines * OUT + 2, -(-width // OUT) * OUT + 2, c)
    for i in range(0, n, images):
        for row in range(0, height, lines * OUT):
            some = pixels[i : i + images]
            stop = min(row + lines * OUT, -(-height // OUT) * OUT)
            part = strip[: len(some), : stop - row + 2]
            first, last = max(row - 1, 0), min(stop + 1, height)
            part[:, : first - row + 1] = 0
            part[:, last - row + 1 :] = 0
            part[:, first - row + 1 : last - row + 1, 1 : width + 1] = some[:, first:last]
            yield (slice(i, i + len(some)), slice(row, min(stop, height))), part


def _tiles(part: Tensor) -> Tensor:
    """(T, 36, C): the tiles of padded pixels, copied."""
    n, rows, columns, c = part.shape[0], part.shape[1] // OUT, part.shape[2] // OUT, part.shape[3]
    a, b, d, e = part.stride()
    strides = (a, OUT * b, OUT * d, b, d, e)
    tiles = part.as_strided((n, rows, columns, TILE, TILE, c), strides, part.storage_offset())
    return tiles.reshape(-1, TILE * TILE, c)


class _Block:
    """A block of tiles on its way from pixels to results, in memory that every block of a map uses again."""

    def __init__(self, shape: torch.Size, planes: Tensor, bias: Tensor) -> None:
        self.planes, self.bias = planes, bias
        self.images, self.lines = _extent(shape)
        self.into, self.back = _twice(_INPUT), _twice(_OUTPUT)
        size = self.images * self.lines * -(-shape[3] // OUT) * TILE * TILE
        self.transformed = planes.new_empty(size * planes.shape[1])
        self.products, self.found = planes.new_empty(2, size * planes.shape[2])

    def __call__(self, part: Tensor) -> Tensor:
        """(n, 4 rows + 2, 4 columns + 2, C) padded pixels -> (n, 4 rows, 4 columns, K)."""
        pixels = _tiles(part)
        tiles, points, c = pixels.shape
        k, outputs = self.planes.shape[2], OUT * OUT
        transformed = self.transformed[: pixels.numel()].view(tiles, points, c)
        torch.bmm(self.into.expand(tiles, -1, -1), pixels, out=transformed)
        products = self.products[: points * tiles * k].view(points, tiles, k)
        torch.bmm(transformed.transpose(0, 1), self.planes, out=products)
        products[_BIAS_PLANE] += self.bias
        found = self.found[: outputs * tiles * k].view(outputs, tiles * k)
        torch.mm(self.back, products.flatten(1), out=found)
        n, rows, columns = part.shape[0], part.shape[1] // OUT, part.shape[2] // OUT
        found = found.view(OUT, OUT, n, rows, columns, k).permute(2, 3, 0, 4, 1, 5)
        # The products have done their work: their memory takes the result.
        result = self.products[: outputs * tiles * k].view(n, rows, OUT, columns, OUT, k).copy_(found)
        return result.view(n, rows * OUT, columns * OUT, k)
