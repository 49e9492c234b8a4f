"""The forms of an image that programs hand over, and what is refused of them."""

import io
import os
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import detection
from detection.api.images import as_pixels


class Named(os.PathLike):
    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return str(self.path)


def test_files_by_path_content_or_opened_are_the_same_pixels(photo):
    pixels = as_pixels(photo)
    with photo.open("rb") as file:
        forms = [Named(photo), str(photo), photo.read_bytes(), file, io.BytesIO(photo.read_bytes())]
        assert all(np.array_equal(as_pixels(form), pixels) for form in forms)


def test_grey_and_alpha_are_taken_in_arrays_tensors_and_pictures():
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    forms = [grey, grey[..., None], np.dstack([rgb, grey]), torch.from_numpy(grey)[None], Image.fromarray(grey)]
    assert all(np.array_equal(as_pixels(form), rgb) for form in forms)
    assert np.array_equal(as_pixels(np.asfortranarray(rgb)[::-1]), rgb[::-1])


def test_the_pixels_are_a_copy_and_read_only_arrays_cause_no_warning(detector, photo):
    read_only = np.asarray(Image.open(photo).convert("RGB"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = detector(read_only)
    assert found.image.flags.writeable and not np.shares_memory(found.image, read_only)


def closed_file(photo):
    with photo.open("rb") as file:
        return file


def closed_picture(photo):
    picture = Image.open(photo)
    picture.close()
    return picture


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda photo: "", "the path is empty"),
        (lambda photo: photo.parent, "val: the image cannot be decoded .not a file."),
        (lambda photo: None, "image: got NoneType; give a uint8 array"),
        (lambda photo: np.zeros((2, 8, 8, 3), np.uint8), "give several images as a list of arrays"),
        (lambda photo: np.zeros((0, 8, 3), np.uint8), r"an array of shape \(0, 8, 3\)"),
        (lambda photo: torch.rand(3, 8, 8), r"of floats in 0..1 give \(image \* 255\).round\(\).byte\(\)"),
        (closed_file, "000001.jpg: cannot be read .*; open it again with mode 'rb'"),
        (lambda photo: io.StringIO("text"), "was opened as text; open it with mode 'rb'"),
        (closed_picture, "image: the image cannot be decoded .Operation on closed image."),
        (lambda photo: b"no image", "image: not an image that Pillow can read"),
        (lambda photo: photo.as_uri(), "file:///.*: only http and https addresses are fetched"),
        (lambda photo: "S3://bucket/a.jpg", "S3://bucket/a.jpg: only http and https addresses are fetched"),
        (lambda photo: "data:image/png;base64,AAAA", "data:.*: only http and https addresses are fetched"),
        (lambda photo: "HTTP://localhost:9/a.jpg", "HTTP://localhost:9/a.jpg: cannot be fetched"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(photo, make, message):
    with pytest.raises(detection.InputError, match=message) as refused:
        as_pixels(make(photo))
    assert "\n" not in str(refused.value)
