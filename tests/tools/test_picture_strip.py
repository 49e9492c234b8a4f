"""The picture at the top of the README can be made again."""

import numpy as np
from PIL import Image

from tools.picture_strip import GAP, main


def test_a_strip_shows_each_picture_with_its_detections(trained, shapes, tmp_path):
    images = sorted((shapes / "val").iterdir())[:2]
    out = tmp_path / "new" / "strip.png"
    assert main([str(trained / "best.pt"), *map(str, images), f"--output={out}", "--score=0", "--height=96"]) == 0
    strip = np.asarray(Image.open(out))
    assert strip.shape == (96, 2 * 96 + GAP, 3) and (strip[:, 96 : 96 + GAP] == 255).all()
    assert (strip[:, :96] != np.asarray(Image.open(images[0]).convert("RGB"))).any()
