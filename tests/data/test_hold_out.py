"""Held-out images are held out by their content: others move none, and none is learned from under another name."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from detection.data.hold_out import hold_out, index_fingerprints
from detection.data.index import AnnotationIndex
from detection.errors import InputError
from detection.files.fingerprints import of_files as fingerprints


def index_of(folder, count, rare=0):
    """Images of `count` contents, each with an object of class 0; the first `rare` have one of class 1 instead."""
    folder.mkdir(exist_ok=True)
    names = [f"{i}.jpg" for i in range(count)]
    for name in names:
        (folder / name).write_bytes(name.encode() * 3000)
    numbers = np.arange(count)
    return AnnotationIndex(
        root=folder,
        source=folder,
        class_names=("often", "rare"),
        category_ids=np.arange(2),
        image_ids=numbers,
        file_names=np.array([name.encode() for name in names]),
        sizes=np.full((count, 2), 9, dtype=np.int32),
        offsets=np.arange(count + 1),
        xywh=np.tile([0.0, 0, 5, 5], (count, 1)),
        labels=(numbers < rare).astype(np.int64),
        areas=np.full(count, 25.0),
        annotation_ids=numbers,
        crowd=np.zeros(count, dtype=bool),
        difficult=np.zeros(count, dtype=bool),
    )


def test_parts_have_the_wanted_size_and_the_same_classes(tmp_path):
    index = index_of(tmp_path, 100, rare=10)
    rest, held, salt = hold_out(index, 0.2)
    assert 17 <= len(held) <= 23 and 1 <= np.bincount(held.labels)[1] <= 4
    assert sorted([*rest.image_ids, *held.image_ids]) == list(range(100))
    again = hold_out(index, 0.2, salt)
    assert np.array_equal(again[1].image_ids, held.image_ids)


def test_added_renamed_and_reordered_images_move_no_other(tmp_path):
    index = index_of(tmp_path / "a", 40)
    _, held, salt = hold_out(index, 0.2)
    more = index_of(tmp_path / "b", 60).select_images(np.random.default_rng(0).permutation(60))
    for number in range(40):
        (tmp_path / "b" / f"{number}.jpg").rename(tmp_path / "b" / f"other {number}.jpg")
    names = [b"other " + n if int(n[:-4]) < 40 else n for n in more.file_names.tolist()]
    _, later, _ = hold_out(replace(more, file_names=np.array(names)), 0.2, salt)
    assert set(held.image_ids) == {i for i in later.image_ids.tolist() if i < 40}


def test_copies_fall_into_the_same_part(tmp_path):
    index = index_of(tmp_path, 30)
    for i in range(15):
        shutil.copy(tmp_path / f"{i}.jpg", tmp_path / f"{i + 15}.jpg")
    rest, held, _ = hold_out(index, 0.3)
    assert not np.isin(index_fingerprints(held), index_fingerprints(rest)).any()


@pytest.mark.parametrize("place", [0, 10_000, 19_999])
def test_a_changed_byte_is_another_image(tmp_path, place):
    content = bytearray(20_000)
    (tmp_path / "a").write_bytes(content)
    content[place] = 1
    (tmp_path / "b").write_bytes(content)
    one, other, missing = fingerprints([tmp_path / "a", tmp_path / "b", tmp_path / "nowhere"])
    assert one != other and missing == 0


def test_what_cannot_be_parted_is_refused_with_a_way_out(tmp_path):
    with pytest.raises(InputError, match="has 1 image, too few to hold out 0.2 .* --dataset.val null"):
        hold_out(index_of(tmp_path, 1), 0.2)
    with pytest.raises(InputError, match="cannot hold out 1.5 of the images; give a share between 0 and 1"):
        hold_out(index_of(tmp_path, 4), 1.5)
