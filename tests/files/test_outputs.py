"""Nothing that a user owns is overwritten, and results are not taken for input."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from detection.cli.main import main
from detection.errors import InputError
from detection.files.atomic import write_atomically
from detection.files.outputs import claim_output, is_output, refuse_overwriting
from detection.predict.collect import collect_images, picture_names


@pytest.fixture
def photos(tmp_path):
    """Three photos, of which two are called alike."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name, colour in (("a.jpg", "red"), ("a.png", "green"), ("more/a.jpg", "blue")):
        Image.new("RGB", (90, 64), colour).save(folder / name)
    return folder


@pytest.fixture
def predict(trained, capsys):
    def run(*words):
        status = main(["predict", *map(str, words), f"--checkpoint={trained / 'best.pt'}", "--device=cpu"])
        return (status, *capsys.readouterr())

    return run


def contents(folder):
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("link", [False, True])
def test_predict_never_writes_over_the_photos(photos, predict, link, tmp_path):
    before = contents(photos)
    output = photos
    if link:
        output = tmp_path / "link"
        output.symlink_to(photos)
    status, _, error = predict(photos, f"--output={output}")
    assert status == 2 and "holds other things than results of frcnn, such as a.jpg" in error
    assert error.count("\n") == 1 and contents(photos) == before


def test_a_photo_that_lies_under_another_name_is_not_written_over_either(photos, predict, tmp_path):
    output = tmp_path / "out"
    claim_output(output)
    os.link(photos / "more/a.jpg", output / "a.jpg")
    before = contents(photos)
    status, _, error = predict(photos / "more", f"--output={output}")
    assert status == 2 and "a.jpg: is an input of this command" in error and contents(photos) == before


def test_results_of_an_earlier_prediction_are_no_input(photos, predict, monkeypatch):
    monkeypatch.chdir(photos)
    for _ in range(3):
        status, text, error = predict(".")
        assert status == 0 and "in 3 images" in text, error
    assert "left out 1 folders with results of frcnn, the first runs/predict" in text
    status, text, _ = predict("**/*.jpg", "--output=elsewhere")
    assert status == 0 and "in 2 images" in text


def test_every_image_has_a_picture_of_its_own(photos, predict, tmp_path):
    status, _, error = predict(photos, f"--output={tmp_path / 'out'}")
    assert status == 0, error
    pictures = sorted(p.name for p in (tmp_path / "out").glob("*.jpg"))
    assert pictures == ["a.png.jpg", "more_a.jpg.jpg", "photos_a.jpg.jpg"]


@pytest.mark.parametrize(
    ("images", "names"),
    [
        (["b/x.jpg", "y.png"], ["x.jpg", "y.jpg"]),
        (["x.jpg", "x.png", "x-1.jpg"], ["x.jpg.jpg", "x.png.jpg", "x-1.jpg"]),
        (["x.jpg", "X.png"], ["x.jpg.jpg", "X.png.jpg"]),
        (["a/x.jpg", "b/x.jpg", "x.jpg.png"], ["a_x.jpg.jpg", "b_x.jpg.jpg", "x.jpg.png.jpg"]),
        (["a/b_x.jpg", "a_b/x.jpg", "c/x.jpg"], ["b_x.jpg", "a_b_x.jpg.jpg", "c_x.jpg.jpg"]),
    ],
)
def test_no_two_pictures_are_called_alike(images, names):
    assert picture_names([Path(image) for image in images]) == names


def test_names_as_long_as_a_file_system_allows_are_written(tmp_path):
    for length in (200, 226, 246, 255):
        path = tmp_path / ("n" * length)
        write_atomically(path, b"content")
        assert path.read_bytes() == b"content"
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(InputError, match="file systems allow names of 255 bytes; shorten the name"):
        write_atomically(tmp_path / ("n" * 256), b"content")
    long = [Path(f"{folder}/{'ä' * 125}.jpg") for folder in ("a", "b")]
    names = picture_names(long)
    assert len(set(names)) == 2 and all(len(os.fsencode(name)) <= 255 for name in names)


def test_threads_that_write_one_file_do_not_write_into_one_another(tmp_path):
    """As jobs of an experiment do that are finished at the same time."""
    contents = [bytes([k]) * 100_000 for k in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda k: write_atomically(tmp_path / "file", contents[k % 4]), range(200)):
            pass
    assert (tmp_path / "file").read_bytes() in contents and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_run_is_not_trained_into_a_folder_of_other_things(tiny, shapes, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert main(["train", *tiny, f"--data={shapes}", f"--output={tmp_path}"]) == 2
    assert "holds other things than results of frcnn, such as thesis.txt" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["thesis.txt"]


@pytest.mark.parametrize(
    "words",
    [
        "check-data --data {data} --json {data}/annotations/instances_val.json",
        "check-data --data {data} --quick --output {data}",
        "evaluate --checkpoint {run}/best.pt --output {data} --device cpu",
        "classify {classifier} --output {classifier} --device cpu",
    ],
)
def test_no_command_writes_over_what_it_reads(words, shapes, trained, pretrained, capsys):
    places = {"data": shapes, "run": trained, "classifier": pretrained / "best.pt"}
    folders = (shapes, trained, pretrained)
    before = [contents(folder) for folder in folders]
    assert main(words.format(**places).split()) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and any(said in error for said in ("overwritten", "holds other things"))
    assert [contents(folder) for folder in folders] == before


def test_the_same_file_is_known_by_any_name(tmp_path):
    (tmp_path / "a").write_text("a")
    os.link(tmp_path / "a", tmp_path / "b")
    (tmp_path / "c").symlink_to(tmp_path / "a")
    for output in "abc":
        for given in "abc":
            with pytest.raises(InputError, match="would be overwritten"):
                refuse_overwriting([tmp_path / output], [tmp_path / given])
    refuse_overwriting([tmp_path / "new"], [tmp_path / "a", tmp_path / "gone"])


def test_folders_of_results_are_marked_and_searched_only_when_named(tmp_path):
    claim_output(tmp_path / "results")
    claim_output(tmp_path / "results")
    assert is_output(tmp_path / "results")
    Image.new("RGB", (9, 9)).save(tmp_path / "results/a.png")
    assert [p.name for p in collect_images([str(tmp_path / "results")]).images] == ["a.png"]
    with pytest.raises(InputError, match="no such image, folder or glob with images but for results of frcnn"):
        collect_images([str(tmp_path)])
