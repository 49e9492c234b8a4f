"""`frcnn split` and `frcnn merge` from end to end."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import trees
from PIL import Image

from detection.cli.main import main
from detection.data.index import AnnotationIndex
from detection.data.locate import locate


def films(root: Path, count: int = 20, frames: int = 5) -> Path:
    """COCO data of films of so many frames; every second film has cats, every fourth an owl; last frames are empty."""
    images, annotations = [], []
    random = np.random.default_rng(0)
    for film in range(count):
        for frame in range(frames):
            name = f"film{film:02}_{frame}.png"
            (root / "images").mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(root / "images" / name)
            images.append({"id": len(images) + 1, "file_name": name, "width": 40, "height": 40})
            classes = [1] * (film % 2 == 0) + [2] * 2 + [3] * (film % 4 == 0 and frame == 0)
            for category in classes if frame < frames - 1 else ():
                box = {"bbox": [film, frame, 9, 8], "area": 72, "iscrowd": 0}
                annotations.append(
                    {"id": len(annotations) + 1, "image_id": len(images), "category_id": category, **box}
                )
    names = [{"id": k, "name": name} for k, name in enumerate(("cat", "dog", "owl"), 1)]
    trees.save(root / "boxes.json", {"images": images, "annotations": annotations, "categories": names})
    return root


def parts_of(folder: Path) -> dict[str, AnnotationIndex]:
    source = locate(folder)
    return {split: source.read(split) for split in source.splits}


def stems(index: AnnotationIndex) -> list[str]:
    return [name.decode().rpartition("/")[2] for name in index.file_names.tolist()]


@pytest.mark.parametrize("format", ["coco", "voc", "yolo"])
def test_parts_have_their_shares_of_images_and_of_each_class(tmp_path, format, capsys):
    data, out = films(tmp_path / "in"), tmp_path / "out"
    assert main(["split", f"--data={data}", "0.6", "0.2", "0.2", f"--output={out}", f"--to={format}"]) == 0
    parts, whole = parts_of(out), locate(data).read("train")
    assert list(parts) == ["train", "val", "test"]
    assert sorted(name for index in parts.values() for name in stems(index)) == sorted(stems(whole))
    for name, share in (("train", 0.6), ("val", 0.2), ("test", 0.2)):
        index = parts[name]
        assert len(index) == pytest.approx(share * 100, abs=2), name
        found, all_of_it = (np.bincount(i.labels, minlength=3) for i in (index, whole))
        assert np.all(np.abs(found - share * all_of_it) <= 2), name
        assert (np.diff(index.offsets) == 0).sum() == pytest.approx(share * 20, abs=2)
        assert index.path(0).samefile(data / "images" / stems(index)[0]), "a hard link"
        assert f"{name}: {len(index)} images" in capsys.readouterr().out or name != "train"


def test_a_group_stays_together_and_the_seed_decides(tmp_path):
    data, found = films(tmp_path / "in"), {}
    for name, seed in (("a", 0), ("again", 0), ("b", 1)):
        words = ["split", f"--data={data}", "0.5", "0.5", "--group", r"film(\d+)_", f"--seed={seed}"]
        assert main([*words, f"--output={tmp_path / name}"]) == 0
        found[name] = {split: sorted(stems(index)) for split, index in parts_of(tmp_path / name).items()}
    assert found["a"] == found["again"] != found["b"]
    for name in ("a", "b"):
        films_of = [{re.findall(r"film(\d+)", stem)[0] for stem in part} for part in found[name].values()]
        assert not films_of[0] & films_of[1] and 45 <= len(found[name]["val"]) <= 55


def test_copies_of_an_image_stay_together(tmp_path):
    data = films(tmp_path / "in", count=4, frames=3)
    for name in ("film00_1", "film01_0", "film02_0"):
        (data / "images" / f"{name}.png").write_bytes((data / "images/film00_0.png").read_bytes())
    for seed in range(4):
        out = tmp_path / f"out{seed}"
        assert main(["split", f"--data={data}", "0.5", "0.5", f"--seed={seed}", f"--output={out}"]) == 0
        where = {stem: split for split, index in parts_of(out).items() for stem in stems(index)}
        assert len({where[f"{name}.png"] for name in ("film00_0", "film00_1", "film01_0", "film02_0")}) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["0.7", "0.2"], "add up to 1"),
        (["1"], "add up to 1"),
        (["0.25", "0.25", "0.25", "0.25"], "add up to 1"),
        (["0.5", "0.5", "--group=("], "no regular expression"),
        (["0.5", "0.5", "--group=clip"], "is in no image's name, such as"),
        (["0.5", "0.5", "--group=film"], "too few for 2 parts"),
    ],
)
def test_what_cannot_be_parted_is_refused_and_nothing_written(tmp_path, words, message, capsys):
    data = films(tmp_path / "in", count=2, frames=2)
    assert main(["split", f"--data={data}", *words, f"--output={tmp_path / 'out'}"]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


def owls(root: Path) -> Path:
    """A VOC folder whose pictures have the names of `trees.coco`'s, and owls."""
    trees.pictures(root / "JPEGImages", "ab")
    for stem in "ab":
        trees.save(root / f"Annotations/{stem}.xml", trees.voc(stem).replace("cat", "owl"))
    return root


@pytest.mark.parametrize("format", ["coco", "voc", "yolo"])
def test_merged_datasets_hold_the_images_and_classes_of_both(tmp_path, format, capsys):
    trees.pictures(tmp_path / "cats/images")
    trees.save(tmp_path / "cats/train.json", trees.coco())
    data, out = [str(tmp_path / "cats"), str(owls(tmp_path / "owls"))], tmp_path / "out"
    assert main(["merge", *data, f"--output={out}", f"--to={format}"]) == 0
    told = capsys.readouterr().out
    index = locate(out).read("train")
    assert set(index.class_names) == {"cat", "dog", "owl"} and len(index) == 5
    found = Counter(
        (index.class_names[label], *np.round(box).astype(int).tolist())
        for label, box in zip(index.labels.tolist(), index.xywh)
    )
    wanted = [thing for stem in "abc" for thing in trees.TRUTH[stem]]
    wanted += [(name.replace("cat", "owl"), box) for stem in "ab" for name, box in trees.TRUTH[stem]]
    assert found == Counter((name, *box) for name, box in wanted)
    assert "cats: has no owl" in told and "owls: has no cat" in told and "--unlabelled" in told
    assert "in two of the datasets: 2 images;" in told  # all pictures are black
    _check_unlabelled(out, index)


def _check_unlabelled(out: Path, index: AnnotationIndex) -> None:
    """The file that the merge wrote fits the images as they are read back."""
    from detection.data.classes import ClassChoice

    marked, notes = ClassChoice(unlabelled=out / "unlabelled.json").of(index, strict=True)
    assert notes == ["5 images with classes that were not annotated there: neither taught nor scored"]
    for i in range(5):
        mine = {index.class_names[k] for k in index.labels[index.rows(i)].tolist()}
        spared = {index.class_names[k] for k in np.flatnonzero(marked.unjudged[i])}
        assert len(spared) == 1 and not mine & spared


def test_the_same_classes_need_no_file_of_unlabelled_ones(tmp_path, shapes, capsys):
    words = ["merge", str(shapes), str(shapes), f"--output={tmp_path / 'out'}"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert not (tmp_path / "out/unlabelled.json").exists() and "--unlabelled" not in told
    assert json.loads((tmp_path / "out/annotations/instances_train.json").read_text())["images"]
    assert main(["merge", str(shapes), f"--output={tmp_path / 'one'}"]) == 2
