"""Training augmentation. Everything random follows from one 32-bit seed an image, uniform over its range, and so from
nothing else: not from the batch, the order or the number of processes.

images (3, H, W) or (B, 3, H, W) uint8 RGB -> (3, c, c) or (B, 3, c, c) uint8, c the crop in pixels
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from backbones.pretrained import IMAGENET_MEAN
from detection.classify.images import picture_of, planes
from detection.errors import InputError
from detection.files.decode import to_rgb

MEAN_COLOUR = (round(IMAGENET_MEAN[0]), round(IMAGENET_MEAN[1]), round(IMAGENET_MEAN[2]))

PCA_VALUES = (0.2175, 0.0188, 0.0045)
PCA_VECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))
"""Eigenvalues, and eigenvectors in columns, of the RGB of ImageNet's training images on the 0..1 scale; the figures
that every re-implementation of Krizhevsky et al. 2012, section 4.1, passes on."""

AREA, ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)
"""Share of the image and width to height of the area crop (Szegedy et al. 2015, section 6)."""


@dataclass(frozen=True)
class CropAugmentation:
    """How an image becomes a training crop.

    Args:
        kind: a key of `CROPS`.
        crop: side of the result in pixels.
        short_sides: for `scale`, the range (lo, hi) of the shorter side, both ends included.
        pad: for `pad`, pixels added on each side.
        flip: mirror every other image.
        pca: standard deviation of the colour shift's coefficients, 0.1 in Krizhevsky et al. 2012; 0 leaves it out.
        fill: RGB of the padding; the mean colour becomes about 0 after normalisation, as in the paper.

    Raises `ValueError` for a value out of range.
    """

    kind: str
    crop: int
    short_sides: tuple[int, int] = (256, 480)
    pad: int = 4
    flip: bool = True
    pca: float = 0.0
    fill: tuple[int, int, int] = MEAN_COLOUR

    def __post_init__(self) -> None:
        if self.kind not in CROPS:
            raise ValueError(f"augmentation {self.kind!r} is unknown; known are {', '.join(CROPS)}")
        if self.crop < 1 or self.pad < 0 or self.pca < 0:
            raise ValueError(f"crop {self.crop} is at least 1; pad {self.pad} and pca {self.pca} are at least 0")
        low, high = self.short_sides
        if self.kind == "scale" and not self.crop <= low <= high:
            raise ValueError(f"short_sides ({low}, {high}) are not in order, or below the crop of {self.crop}")
        if not all(0 <= value <= 255 for value in self.fill):
            raise ValueError(f"fill {self.fill} is outside 0..255")

    def __call__(self, image: np.ndarray | Image.Image, seed: int) -> np.ndarray:
        """The (3, crop, crop) uint8 crop of one image, without the colour shift."""
        return CROPS[self.kind](image, seed, self)


def pad_crop(
    pixels: np.ndarray, seeds: np.ndarray, pad: int, crop: int, flip: bool, fill: tuple[int, int, int] = MEAN_COLOUR
) -> np.ndarray:
    """Random crops of the padded images, half of them mirrored, for a whole batch (He et al. 2015, section 4.2).

    pixels (B, 3, H, W), seeds (B,) -> (B, 3, crop, crop). Raises `InputError` where a padded image is too small.
    """
    count, _, height, width = pixels.shape
    rows, columns = height + 2 * pad - crop + 1, width + 2 * pad - crop + 1
    if rows < 1 or columns < 1:
        raise InputError(
            f"{height}x{width} pixels padded by {pad} are fewer than the crop of {crop}; pad more or crop less"
        )
    padded = np.empty((count, 3, height + 2 * pad, width + 2 * pad), dtype=np.uint8)
    padded[:] = np.array(fill, dtype=np.uint8)[:, None, None]
    padded[:, :, pad : pad + height, pad : pad + width] = pixels
    rest, top = np.divmod(np.asarray(seeds, dtype=np.int64), rows)
    rest, left = np.divmod(rest, columns)
    crops = sliding_window_view(padded, (crop, crop), axis=(2, 3))[np.arange(count), :, top, left]
    if flip:
        mirrored = rest % 2 == 1
        crops[mirrored] = crops[mirrored][..., ::-1]
    return crops


def scaled_size(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """(width, height) whose shorter side is `short_side`; the other is cut to an integer, as torchvision does."""
    width, height = size
    if width <= height:
        return short_side, int(short_side * height / width)
    return int(short_side * width / height), short_side


def scaled_window(
    image: np.ndarray | Image.Image, size: tuple[int, int], corner: tuple[int, int], crop: tuple[int, int]
) -> Image.Image:
    """The window `crop` (w, h) at `corner` (x, y) of the image resized to `size` (w, h), in one resize of that part.

    Equal to resize, then crop: the filter reads the pixels around the window, and shrinking is antialiased.
    """
    picture = to_rgb(_picture(image))
    across, down = picture.width / size[0], picture.height / size[1]
    box = (corner[0] * across, corner[1] * down, (corner[0] + crop[0]) * across, (corner[1] + crop[1]) * down)
    return _resize_box(picture, box, crop)


def scale_crop(
    image: np.ndarray | Image.Image, seed: int, short_sides: tuple[int, int], crop: int, flip: bool
) -> np.ndarray:
    """A random (3, crop, crop) crop at a random scale (Simonyan & Zisserman 2014; He et al. 2015, section 3.4).

    image: (3, H, W) uint8, or a Pillow image. A JPEG that is not yet decoded is decoded at 1/2, 1/4 or 1/8 of its size
    where that is not below the size it is scaled to.
    """
    picture = _picture(image)
    random = np.random.default_rng(seed)
    size = scaled_size(picture.size, int(random.integers(short_sides[0], short_sides[1] + 1)))
    corner = int(random.integers(size[0] - crop + 1)), int(random.integers(size[1] - crop + 1))
    mirrored = flip and bool(random.integers(2))
    picture.draft(None, size)
    return _planes(scaled_window(picture, size, corner, (crop, crop)), mirrored)


def area_crop(image: np.ndarray | Image.Image, seed: int, crop: int, flip: bool) -> np.ndarray:
    """A random part of the image, resized to (3, crop, crop) (Szegedy et al. 2015, section 6). image: see `scale_crop`.

    Its area is uniform in `AREA`, the logarithm of its aspect ratio in `ASPECT`; after ten parts that do not fit it is
    the largest one in the middle.
    """
    picture = _picture(image)
    random = np.random.default_rng(seed)
    left, top, width, height = _area_box(picture.width, picture.height, random)
    mirrored = flip and bool(random.integers(2))
    full = picture.size
    shrink = min(width, height) / crop
    if shrink > 1:
        picture.draft(None, (math.ceil(full[0] / shrink), math.ceil(full[1] / shrink)))
    picture = to_rgb(picture)
    across, down = picture.width / full[0], picture.height / full[1]
    box = (left * across, top * down, (left + width) * across, (top + height) * down)
    return _planes(_resize_box(picture, box, (crop, crop)), mirrored)


def _area_box(width: int, height: int, random: np.random.Generator) -> tuple[float, float, float, float]:
    """Left, top, width and height of the part, in pixels."""
    for _ in range(10):
        area = width * height * random.uniform(*AREA)
        ratio = math.exp(random.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        across, down = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if across <= width and down <= height:
            return random.uniform(0, width - across), random.uniform(0, height - down), across, down
    across, down = min(width, height * ASPECT[1]), min(height, width / ASPECT[0])
    return (width - across) / 2, (height - down) / 2, across, down


def centre_corner(size: tuple[int, int], crop: int) -> tuple[int, int]:
    """(x, y) of the middle crop of an image of `size` (w, h), rounded as torchvision does."""
    return round((size[0] - crop) / 2), round((size[1] - crop) / 2)


def _pad(image: np.ndarray | Image.Image, seed: int, made: CropAugmentation) -> np.ndarray:
    pixels = planes(_picture(image))[None]
    return pad_crop(pixels, np.array([seed]), made.pad, made.crop, made.flip, made.fill)[0]


def _scale(image: np.ndarray | Image.Image, seed: int, made: CropAugmentation) -> np.ndarray:
    return scale_crop(image, seed, made.short_sides, made.crop, made.flip)


def _area(image: np.ndarray | Image.Image, seed: int, made: CropAugmentation) -> np.ndarray:
    return area_crop(image, seed, made.crop, made.flip)


CROPS: dict[str, Callable[[np.ndarray | Image.Image, int, CropAugmentation], np.ndarray]] = {
    "pad": _pad,  # CIFAR: padded, a random crop
    "scale": _scale,  # ImageNet: a random shorter side, a random crop
    "area": _area,  # a random part, resized
}


def colour_shift(seeds: np.ndarray, std: float) -> np.ndarray:
    """(B, 3) float32 to be added to every pixel of an image, on the 0..255 scale (Krizhevsky et al. 2012, section 4.1).

    Along each principal component of ImageNet's colours by its eigenvalue times a normal number of deviation `std`.
    """
    # A second word in the seed: the crop's own stream starts with the same one.
    alphas = np.array([np.random.default_rng((int(s), 1)).standard_normal(3) for s in seeds]).reshape(-1, 3)
    shifts = 255 * (alphas * std * np.array(PCA_VALUES)) @ np.array(PCA_VECTORS).T
    return shifts.astype(np.float32)


def _picture(image: np.ndarray | Image.Image) -> Image.Image:
    return picture_of(image) if isinstance(image, np.ndarray) else image


def _resize_box(picture: Image.Image, box: tuple[float, float, float, float], size: tuple[int, int]) -> Image.Image:
    # Rounding may carry the box a hair over the edge, which Pillow refuses.
    inside = (max(box[0], 0.0), max(box[1], 0.0), min(box[2], picture.width), min(box[3], picture.height))
    return picture.resize(size, Image.Resampling.BILINEAR, inside)


def _planes(picture: Image.Image, mirrored: bool) -> np.ndarray:
    pixels = np.asarray(picture).transpose(2, 0, 1)
    return np.ascontiguousarray(pixels[..., ::-1] if mirrored else pixels)
