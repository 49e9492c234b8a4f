"""Testing a classifier as He et al. 2015, section 3.4, do: on one view of an image, on ten crops, or at many scales.

images -> views (n, V, 3, h, w) uint8 -> probabilities (N, K) float32 -> errors
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from backbones.modes import in_mode
from detection.classify.augment import centre_corner, scaled_size, scaled_window
from detection.classify.batches import grouped_views, normalise
from detection.classify.images import ImageSet, planes
from detection.errors import InputError


@dataclass(frozen=True)
class View:
    """How an image is looked at in a test.

    Args:
        name: a key of `VIEWS`.
        crop: side in pixels of the crops of `1-crop` and `10-crop`.
        short_side: pixels that the shorter side is resized to before they are taken.
        scales: the shorter sides of `multi-scale`, in pixels.

    Raises `ValueError` for an unknown name or sizes out of range.
    """

    name: str
    crop: int = 224
    short_side: int = 256
    scales: tuple[int, ...] = (224, 256, 384, 480, 640)

    def __post_init__(self) -> None:
        if self.name not in VIEWS:
            raise ValueError(f"view {self.name!r} is unknown; known are {', '.join(VIEWS)}")
        if self.name in ("1-crop", "10-crop") and not 1 <= self.crop <= self.short_side:
            raise ValueError(f"a crop of {self.crop} does not fit into a short side of {self.short_side}")
        if not self.scales or min(self.scales) < 1:
            raise ValueError(f"scales {self.scales} are not sizes in pixels")

    def __call__(self, picture: Image.Image) -> list[np.ndarray]:
        """The views of an RGB image: for each of their sizes (V, 3, h, w) uint8."""
        return VIEWS[self.name](picture, self)


def _whole(picture: Image.Image, view: View) -> list[np.ndarray]:
    return [planes(picture)[None]]


def _one_crop(picture: Image.Image, view: View) -> list[np.ndarray]:
    size = scaled_size(picture.size, view.short_side)
    window = scaled_window(picture, size, centre_corner(size, view.crop), (view.crop, view.crop))
    return [planes(window)[None]]


def _ten_crops(picture: Image.Image, view: View) -> list[np.ndarray]:
    """The four corners and the centre, then the same five mirrored (Krizhevsky et al. 2012, section 4.1)."""
    size = scaled_size(picture.size, view.short_side)
    resized = planes(scaled_window(picture, size, (0, 0), size))
    right, bottom = size[0] - view.crop, size[1] - view.crop
    corners = [(0, 0), (right, 0), (0, bottom), (right, bottom), centre_corner(size, view.crop)]
    crops = np.stack([resized[:, y : y + view.crop, x : x + view.crop] for x, y in corners])
    # The image is mirrored, not its crops: the first of them is the mirror of the right corner.
    mirrored = resized[..., ::-1]
    flipped = np.stack([mirrored[:, y : y + view.crop, x : x + view.crop] for x, y in corners])
    return [np.concatenate([crops, flipped])]


def _many_scales(picture: Image.Image, view: View) -> list[np.ndarray]:
    """The whole image at each scale, for a net that takes any size; not mirrored: the paper names scales alone."""
    sizes = [scaled_size(picture.size, scale) for scale in view.scales]
    return [planes(scaled_window(picture, size, (0, 0), size))[None] for size in sizes]


VIEWS: dict[str, Callable[[Image.Image, View], list[np.ndarray]]] = {
    "whole": _whole,  # the image as it is: CIFAR's single view
    "1-crop": _one_crop,  # the centre
    "10-crop": _ten_crops,  # corners and centre, and their mirror images
    "multi-scale": _many_scales,  # the whole image at each of `scales`
}


def probabilities(
    net: nn.Module, images: ImageSet, view: View, device: torch.device | str, batch: int = 100, workers: int = 0
) -> Tensor:
    """(N, K) float32 on the CPU: the softmax of the class scores, averaged over the views.

    net: on `device`, (n, 3, h, w) -> (n, K); run in evaluation mode and left in the mode it was in. batch: pictures
    in a forward pass (all views of an image go together); sizes that differ are not mixed. workers: processes that
    decode and resize. Raises `InputError` where there are no images, or one does not decode.
    """
    sums: Tensor | None = None
    views = np.zeros(len(images), dtype=np.float32)
    with in_mode(net, training=False), torch.inference_mode():
        for rows, pixels in _views(images, view, batch, workers):
            scores = net(normalise(pixels.flatten(0, 1).to(device))).float().softmax(1)
            found = scores.view(*pixels.shape[:2], -1).sum(1).cpu()
            sums = torch.zeros(len(images), found.shape[1]) if sums is None else sums
            sums[rows] += found
            views[rows] += pixels.shape[1]
    if sums is None:
        raise InputError("an empty set cannot be tested; give at least one image")
    return sums / torch.from_numpy(views)[:, None]


def single(view: View) -> View:
    """The view where it has one crop an image, else that of its central crop."""
    return view if view.name in ("whole", "1-crop") else replace(view, name="1-crop")


def view_batches(images: ImageSet, view: View, batch: int = 100, workers: int = 0) -> Iterator[Tensor]:
    """All views of the images as a net takes them: (n, 3, h, w) float32, normalised, channels last, on the CPU.

    For measuring a net on what it is tested on; see `probabilities` for batch, workers and errors.
    """
    for _, pixels in _views(images, view, batch, workers):
        yield normalise(pixels.flatten(0, 1))


def _views(images: ImageSet, view: View, batch: int, workers: int) -> Iterator[tuple[list[int], Tensor]]:
    """Rows and their views (n, V, 3, h, w) uint8."""
    if images.pixels is not None and view.name == "whole":
        for first in range(0, len(images), batch):
            rows = list(range(first, min(first + batch, len(images))))
            yield rows, torch.from_numpy(images.pixels[rows[0] : rows[-1] + 1])[:, None]
        return
    together = max(batch // 10, 1) if view.name == "10-crop" else batch
    for groups in grouped_views(images, view, together, workers):
        yield from groups


def errors_of(probabilities: Tensor, labels: Tensor | np.ndarray) -> dict[str, float]:
    """`top_errors` and the `log_loss` as `loss`, of (N, K) and (N,)."""
    return {**top_errors(probabilities, labels), "loss": log_loss(probabilities, labels)}


def log_loss(probabilities: Tensor, labels: Tensor | np.ndarray) -> float:
    """Mean negative logarithm of the true class's probability, (N, K) and (N,); a probability of 0 counts as 1e-12."""
    own = probabilities.double().gather(1, torch.as_tensor(labels).view(-1, 1))
    return float(-own.clamp(min=1e-12).log().mean())


def top_errors(probabilities: Tensor, labels: Tensor | np.ndarray, top: tuple[int, ...] = (1, 5)) -> dict[str, float]:
    """`top1_error`, ...: share of images, 0..1, whose class is not among the k most probable.

    probabilities (N, K), labels (N,). A k of K and above, which no image can miss, is left out.
    """
    truth = torch.as_tensor(labels).view(-1, 1)
    kept = [k for k in top if k < probabilities.shape[1]]
    misses = {k: (probabilities.topk(k, dim=1).indices != truth).all(1) for k in kept}
    return {f"top{k}_error": float(missed.double().mean()) for k, missed in misses.items()}
