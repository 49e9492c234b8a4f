"""Reading folders, tars and CIFAR files: the same images from each, and every refusal says how to mend it."""

import io
import os
import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from detection.classify import sources
from detection.classify.sources import open_dataset
from detection.errors import InputError


def write(path: Path, colour: int, size: tuple[int, int] = (6, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (colour, 0, 0)).save(path)


def pack(folder: Path, archive: Path, mode: str = "w:xz", top: str = "") -> Path:
    with tarfile.open(archive, mode) as tar:
        tar.add(folder, arcname=top or ".")
    return archive


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """train: cat 10 and 11 (one below a folder), dog 20; val: cat 30, dog 40; and files to pass over."""
    root = tmp_path / "pets"
    write(root / "train/cat/b.png", 10)
    write(root / "train/cat/2019/a.PNG", 11)
    write(root / "train/dog/a.bmp", 20)
    write(root / "val/dog/a.png", 40)
    write(root / "val/cat/a.png", 30)
    write(root / "train/cat/._b.png", 99)
    write(root / "train/.trash/a.png", 99)
    (root / "classes.tsv").write_text("cat\tfeline\n")
    (root / "train/cat/notes.txt").write_text("none")
    return root


def colours(images) -> list[tuple[str, int]]:
    return [(images.class_names[label], int(images.image(i)[0, 0, 0])) for i, label in enumerate(images.labels)]


@pytest.mark.parametrize(("suffix", "mode", "top"), [("tar.xz", "w:xz", ""), ("tgz", "w:gz", "pets"), ("tar", "w", "")])
def test_a_tar_reads_as_its_folder_does(tree, tmp_path, suffix, mode, top):
    folder = open_dataset(tree)
    archive = pack(tree, tmp_path / f"pets.{suffix}", mode, top)
    packed = open_dataset(archive)
    archive.unlink()  # read once: both splits come from memory
    assert folder.splits == packed.splits == ("train", "val")
    for split in folder.splits:
        one, two = folder.read(split), packed.read(split)
        assert one.class_names == two.class_names == ("cat", "dog")
        assert colours(one) == colours(two)
        assert one.pixels.shape == (len(one), 3, 4, 6)
    assert colours(packed.read("train")) == [("cat", 11), ("cat", 10), ("dog", 20)]
    assert packed.read("val").name(0) == f"pets.{suffix}: {top + '/' if top else ''}val/cat/a.png"


@pytest.mark.parametrize("packed", [False, True])
def test_class_folders_alone_are_the_train_split(tree, tmp_path, packed):
    path = tree / "train"
    source = open_dataset(pack(path, tmp_path / "x.tar.bz2", "w:bz2", "animals") if packed else path)
    assert source.splits == ("train",)
    assert colours(source.read("train")) == [("cat", 11), ("cat", 10), ("dog", 20)]


def test_labels_follow_the_names_of_a_trained_net(tree):
    images = open_dataset(tree).read("val", ("dog", "cat"))
    assert images.class_names == ("dog", "cat")
    assert colours(images) == [("cat", 30), ("dog", 40)]
    assert images.labels.tolist() == [1, 0]


@pytest.mark.parametrize(("size", "held"), [((6, 4), True), ((7, 4), False), ((200, 4), False)])
def test_only_small_images_of_one_size_are_held_decoded(tree, size, held):
    write(tree / "train/cat/2019/a.PNG", 11, size)
    images = open_dataset(tree).read("train")
    assert (images.pixels is not None) == held
    assert colours(images) == [("cat", 11), ("cat", 10), ("dog", 20)]


@pytest.mark.parametrize("packed", [False, True])
def test_names_in_any_script_find_their_files(tree, tmp_path, packed):
    write(tree / "train/eel/ångström 鰻.png", 70, (200, 4))
    os.rename(tree / "train/eel/ångström 鰻.png", os.fsencode(tree) + b"/train/eel/\xc3\xa5 \xe9.png")  # not UTF-8
    write(tree / "train/eel/鰻/ü.png", 80)
    images = open_dataset(pack(tree, tmp_path / "x.tar", "w") if packed else tree).read("train")
    assert images.names.dtype.kind == "S" and images.pixels is None
    assert colours(images)[-2:] == [("eel", 70), ("eel", 80)]
    called = "x.tar: train/eel/鰻/ü.png" if packed else str(tree / "train/eel/鰻/ü.png")
    assert images.called(len(images) - 1) == images.subset([-1]).called(0) == called


def test_wrong_class_folders_are_named(tree):
    for i in range(7):
        write(tree / f"val/bird{i}/a.png", 1)
    shutil.rmtree(tree / "val/dog")
    expected = "classes missing dog and unknown bird0, bird1, bird2, bird3, bird4 and 2 more"
    with pytest.raises(InputError, match=f"pets val: {expected}; every split"):
        open_dataset(tree).read("val")


@pytest.mark.parametrize("packed", [False, True])
def test_a_train_class_without_images_is_named(tree, tmp_path, packed):
    (tree / "train/eel").mkdir()
    (tree / "val/eel").mkdir()
    source = open_dataset(pack(tree, tmp_path / "pets.tar", "w", "pets") if packed else tree)
    with pytest.raises(InputError, match="pets.*: no images of eel in train; add some or remove the folder"):
        source.read("train")
    assert len(source.read("val")) == 2  # a class may be missing from a test


@pytest.mark.parametrize("packed", [False, True])
def test_a_corrupt_image_is_named(tree, tmp_path, packed):
    (tree / "val/dog/a.png").write_bytes(b"not a picture")
    source = open_dataset(pack(tree, tmp_path / "pets.tar.xz") if packed else tree)
    name = "pets.tar.xz: val/dog/a.png" if packed else str(tree / "val/dog/a.png")
    with pytest.raises(InputError, match=f"^{name}: not an image that Pillow can read; replace or remove"):
        source.read("val")


def test_paths_and_splits_that_are_not_there(tree, tmp_path):
    with pytest.raises(InputError, match="nowhere: no such file or folder; check the path"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(InputError, match="pets: there is no split 'test'; it has train, val"):
        open_dataset(tree).read("test")
    with pytest.raises(InputError, match=r"classes.tsv: neither a folder nor one of .tar, .*expected \{train"):
        open_dataset(tree / "classes.tsv")
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", pack(tmp_path / "empty", tmp_path / "empty.tar.gz", "w:gz")):
        with pytest.raises(InputError, match=r"empty.*: no images found; expected \{train,val,test\}/<class>/im"):
            open_dataset(path)


@pytest.mark.parametrize(
    ("suffix", "mode"), [("tar", "w"), ("tar.gz", "w:gz"), ("tar.xz", "w:xz"), ("tar.bz2", "w:bz2")]
)
def test_a_tar_cut_anywhere_is_refused(tree, tmp_path, suffix, mode):
    whole = pack(tree, tmp_path / f"pets.{suffix}", mode).read_bytes()
    cut = tmp_path / f"cut.{suffix}"
    used = len(whole.rstrip(b"\0"))  # a tar is filled up with zeros
    for keep in {0, 100, 512, used // 2, used // 1024 * 512, used - 1}:
        cut.write_bytes(whole[:keep])
        with pytest.raises(InputError, match=f"cut.{suffix}: the archive is broken .*fetch or pack it again"):
            open_dataset(cut)


def test_a_tar_with_links_or_beyond_the_limit_is_refused(tree, tmp_path, monkeypatch):
    (tree / "val/dog/z.png").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="pets.tar: ./val/dog/z.png is a link; pack the files themselves"):
        open_dataset(pack(tree, tmp_path / "pets.tar", "w"))
    (tree / "val/dog/z.png").unlink()
    monkeypatch.setattr(sources, "ARCHIVE_LIMIT", 100)
    with pytest.raises(InputError, match="pets.tar: more than .* GiB of images; unpack it and give the folder"):
        open_dataset(pack(tree, tmp_path / "pets.tar", "w"))


def test_names_in_a_tar_do_not_leave_it(tmp_path):
    picture = io.BytesIO()
    Image.new("RGB", (4, 4)).save(picture, "PNG")
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name in ("../../etc/a.png", "/train/cat/a.png", "train/dog/a.png"):
            member = tarfile.TarInfo(name)
            member.size = len(picture.getvalue())
            tar.addfile(member, io.BytesIO(picture.getvalue()))
    images = open_dataset(tmp_path / "x.tar").read("train")
    assert [images.name(i) for i in range(2)] == ["x.tar: train/cat/a.png", "x.tar: train/dog/a.png"]


def write_cifar10(root: Path) -> np.ndarray:
    """Fake batches of 2 images each; the pixels of all five training batches."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 2, 3072), dtype=np.uint8)
    for i, (name, _) in enumerate(datasets.CIFAR10.train_list + datasets.CIFAR10.test_list):
        (folder / name).write_bytes(pickle.dumps({"data": pixels[i], "labels": [i, 9 - i]}))
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    return pixels[:5].reshape(10, 3, 32, 32)


def test_cifar10_as_torchvision_unpacks_it(tmp_path, monkeypatch):
    pixels = write_cifar10(tmp_path)
    with pytest.raises(InputError, match="the CIFAR10 files are incomplete or differ from the published ones"):
        open_dataset(tmp_path).read("train")
    monkeypatch.setattr(datasets.cifar, "check_integrity", lambda *_: True)
    for path in (tmp_path, tmp_path / "cifar-10-batches-py"):
        images = open_dataset(path).read("train")
        np.testing.assert_array_equal(images.pixels, pixels)
        assert images.labels.tolist() == [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]
        assert images.class_names[3] == "cat"
    turned = open_dataset(tmp_path).read("test", images.class_names[::-1])
    assert turned.labels.tolist() == [4, 5]
    with pytest.raises(InputError, match="test: classes missing pig and unknown airplane"):
        open_dataset(tmp_path).read("test", ("pig", *images.class_names[1:]))
    (tmp_path / "cifar-100-python").mkdir()
    with pytest.raises(InputError, match="holds cifar-10-batches-py and cifar-100-python; give the path of one"):
        open_dataset(tmp_path)


def test_a_tar_that_unpacks_to_far_more_than_it_is_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("detection.files.bounds.FREE", 1 << 20)
    for name in ("train/a/zeros.jpg", "train/a/zeros.txt"):  # an image, and what would be passed over
        path = tmp_path / f"{Path(name).suffix[1:]}.tar.xz"
        with tarfile.open(path, "w:xz") as archive:
            member = tarfile.TarInfo(name)
            member.size = 16 << 20
            archive.addfile(member, io.BytesIO(bytes(16 << 20)))
        with pytest.raises(InputError, match=f"{path.name}: it unpacks to more than"):
            open_dataset(path)


def test_a_class_folder_that_acts_on_a_terminal_is_refused(tree):
    (tree / "train/cat").rename(tree / "train/c\x1b[2Jat")
    with pytest.raises(InputError, match="control characters in its name"):
        open_dataset(tree).read("train")
