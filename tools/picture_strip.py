"""A strip of pictures with what a detector finds in them, for the top of a page.

python tools/picture_strip.py runs/quickstart/best.pt IMAGE IMAGE IMAGE --output docs/images/quickstart.jpg
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import detection
from detection.cli.arguments import Parser, at_least

GAP = 8
"""White pixels between two pictures."""


def main(arguments: list[str] | None = None) -> int:
    parser = Parser("picture_strip.py", __doc__ or "")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, required=True, help="a JPEG or PNG")
    parser.add_argument("--score", type=float, default=0.5, help="least score of what is drawn")
    parser.add_argument("--height", type=at_least(16), default=224, help="of the strip, pixels")
    args = parser.parse_args(arguments)
    found = detection.load(args.checkpoint, device="cpu")(list(args.images), score=args.score)
    strip = side_by_side([np.asarray(each.draw()) for each in found], args.height)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(strip).save(args.output, quality=85)
    print(f"{args.output}: {strip.shape[1]} x {strip.shape[0]} pixels, {args.output.stat().st_size // 1024} kB")
    return 0


def side_by_side(pictures: list[np.ndarray], height: int) -> np.ndarray:
    """Pictures (H, W, 3) uint8, each resized to `height`, from left to right with white between."""
    parts: list[np.ndarray] = []
    for pixels in pictures:
        picture = Image.fromarray(pixels)
        width = round(picture.width * height / picture.height)
        parts += [np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS)), _white(height)]
    return np.concatenate(parts[:-1], axis=1)


def _white(height: int) -> np.ndarray:
    return np.full((height, GAP, 3), 255, dtype=np.uint8)


if __name__ == "__main__":
    raise SystemExit(main())
