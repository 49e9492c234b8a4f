"""Images of classes: one split in memory, as pixels or as encoded files.

pixels (N, 3, H, W) uint8 RGB; labels (N,) 0..K-1 in the order of the class names
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from detection.errors import InputError
from detection.files.decode import decoding, open_image, to_rgb
from detection.files.fingerprints import drawn, of_contents, of_files

MEAN_SAMPLE = 1000
"""Images that the mean colour of an encoded set is taken over."""


def planes(picture: Image.Image) -> np.ndarray:
    """(3, H, W) uint8, contiguous, of an image of any mode."""
    return np.ascontiguousarray(np.asarray(to_rgb(picture)).transpose(2, 0, 1))


def picture_of(pixels: np.ndarray) -> Image.Image:
    """The Pillow image of (3, H, W) uint8 RGB."""
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def _packed(names: Sequence[str]) -> np.ndarray:
    """(N,) bytes, UTF-8: one block of memory that worker processes share. They would copy an object for each image, as
    each look at one counts a reference in it."""
    # As the file system gives them: a name that is not UTF-8 comes back as the bytes it was.
    return np.array([name.encode(errors="surrogateescape") for name in names], dtype=np.bytes_)


@dataclass(frozen=True, eq=False)
class ImageSet:
    """One split.

    class_names: K names. labels: (N,) int64. names: (N) strings, kept as an (N,) array of their bytes.
    Either pixels, (N, 3, H, W) uint8 RGB, or encoded: the contents of N files, or the folder below which `names` are
    their paths; the other is None.
    """

    class_names: tuple[str, ...]
    labels: np.ndarray
    names: Sequence[str] | np.ndarray
    pixels: np.ndarray | None = None
    encoded: Path | Sequence[bytes] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.names, np.ndarray):
            object.__setattr__(self, "names", _packed(self.names))
        held = self.pixels if self.pixels is not None else self.encoded
        if held is None or (self.pixels is not None and self.encoded is not None):
            raise ValueError("an image set holds either pixels or encoded images")
        count = len(self.names) if isinstance(held, Path) else len(held)
        if not count == len(self.labels) == len(self.names):
            raise ValueError(f"{count} images, {len(self.labels)} labels and {len(self.names)} names do not match")
        if self.pixels is not None and (self.pixels.dtype != np.uint8 or self.pixels.shape[1:2] != (3,)):
            raise ValueError(f"pixels are (N, 3, H, W) uint8, not {self.pixels.shape} {self.pixels.dtype}")
        if self.labels.dtype != np.int64 or self.labels.ndim != 1:
            raise ValueError(f"labels are (N,) int64, not {self.labels.shape} {self.labels.dtype}")
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.class_names):
            raise ValueError(f"labels outside 0..{len(self.class_names) - 1}")

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, row: int) -> str:
        return bytes(np.asarray(self.names)[row]).decode(errors="surrogateescape")

    def called(self, row: int) -> str:
        """What messages call the image: its name, with the folder where it lies in one."""
        return str(self.encoded / self.name(row)) if isinstance(self.encoded, Path) else self.name(row)

    def picture(self, row: int) -> Image.Image:
        """The image as Pillow has it, not yet decoded where it is encoded; to be used within `decoding`."""
        if isinstance(self.encoded, Path):
            return open_image(self.encoded / self.name(row))
        if self.encoded is not None:
            return open_image(self.encoded[row])
        assert self.pixels is not None
        return picture_of(self.pixels[row])

    def image(self, row: int) -> np.ndarray:
        """(3, H, W) uint8 RGB. Raises `InputError` naming an image that does not decode."""
        if self.pixels is not None:
            return self.pixels[row]
        with decoding(self.called(row)), self.picture(row) as picture:
            return planes(picture)

    def subset(self, rows: Sequence[int] | np.ndarray) -> ImageSet:
        """The images of `rows`, in their order."""
        index = np.asarray(rows, dtype=np.int64)
        pixels = None if self.pixels is None else self.pixels[index]
        encoded = self.encoded
        if encoded is not None and not isinstance(encoded, Path):
            encoded = [encoded[i] for i in index]
        return ImageSet(self.class_names, self.labels[index], np.asarray(self.names)[index], pixels, encoded)

    def fingerprints(self) -> np.ndarray:
        """(N,) int64: what the images are known by, whatever they are called."""
        if isinstance(self.encoded, Path):
            return of_files([self.encoded / self.name(row) for row in range(len(self))])
        if self.encoded is not None:
            return of_contents(self.encoded)
        assert self.pixels is not None
        return of_contents(pixels.tobytes() for pixels in self.pixels)

    def hold_out(self, count: int, salt: int) -> tuple[ImageSet, ImageSet]:
        """The set without `count` images, and those images (the 45k/5k of He et al. 2015, section 4.2).

        The content of the images and the salt decide which: no image that is added later brings another one into the
        held-out part. Raises `InputError` where nothing would be left.
        """
        if not 0 <= count < len(self):
            raise InputError(
                f"{count} of {len(self)} images cannot be held out; hold out between 0 and {len(self) - 1}"
            )
        order = np.argsort(drawn(self.fingerprints(), salt), kind="stable")
        return self.subset(np.sort(order[count:])), self.subset(np.sort(order[:count]))

    def mean_colour(self) -> tuple[int, int, int]:
        """The rounded mean of R, G and B: over all pixels, or over a sample of the encoded images."""
        if not len(self):
            raise InputError("an empty set has no mean colour; give images or a colour")
        if self.pixels is not None:
            means = self.pixels.mean((0, 2, 3), dtype=np.float64)
        else:
            # Drawn, not every n-th: the order of the images may have a period.
            rows = np.random.default_rng(0).permutation(len(self))[:MEAN_SAMPLE]
            means = np.mean([self.image(i).mean((1, 2), dtype=np.float64) for i in rows], axis=0)
        red, green, blue = (round(float(m)) for m in means)
        return red, green, blue
