"""The library's face: what `import detection` offers gives what the commands give."""

import doctest
import json
import runpy
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import detection
from detection.cli.main import main

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def photo(shapes):
    return shapes / "val" / "000001.jpg"


@pytest.fixture(scope="module")
def detector(trained):
    return detection.load(trained / "best.pt", device="cpu")


def same(one, other):
    return all(np.array_equal(getattr(one, part), getattr(other, part)) for part in ("boxes", "scores", "labels"))


def test_importing_is_instant_and_every_name_is_there():
    code = "import sys, time; began = time.monotonic(); import detection; took = time.monotonic() - began;"
    code += "print([m for m in ('torch', 'numpy', 'jsonargparse') if m in sys.modules], took < 0.5)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "[] True"
    assert all(getattr(detection, name).__doc__ for name in detection.__all__)
    assert set(detection.__all__) <= set(dir(detection))
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        detection.lod  # noqa: B018


def test_an_image_in_any_form_gives_what_the_command_gives(detector, photo, trained, tmp_path):
    assert (
        main(["predict", "--checkpoint", str(trained / "best.pt"), "--score=0", f"--output={tmp_path}", str(photo)])
        == 0
    )
    records = json.loads((tmp_path / "predictions.json").read_text())[0]["detections"]
    found = detector(str(photo))
    assert len(found) == len(records) > 0
    assert [list(map(float, np.round(box.astype(np.float64), 3))) for box in found.boxes] == [r["box"] for r in records]
    assert list(found.names) == [r["class"] for r in records]
    pixels = np.asarray(Image.open(photo).convert("RGB"))
    png = tmp_path / "same.png"
    Image.fromarray(found.image).save(png)
    tensor = torch.from_numpy(found.image.copy()).permute(2, 0, 1)
    forms = [photo, found.image, tensor, png, Image.open(png), png.as_uri() and str(png)]
    assert all(same(detector(form), found) for form in forms) and pixels.shape == found.image.shape
    assert [same(each, found) for each in detector([photo, found.image])] == [True, True]
    assert len(detector(photo, score=1.0)) == 0 == len(found.above(1.0))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("nowhere.jpg", "nowhere.jpg"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), r"a tensor must be \(3, H, W\) uint8"),
        ("http://localhost:9/a.jpg", "localhost:9/a.jpg: cannot be fetched"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(detector, image, message):
    with pytest.raises(detection.InputError, match=message):
        detector(image)


def test_an_image_behind_an_address_is_read(detector, photo):
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    with ThreadingHTTPServer(
        ("localhost", 0), partial(SimpleHTTPRequestHandler, directory=str(photo.parent))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = detector(f"http://localhost:{server.server_port}/{photo.name}")
        server.shutdown()
    assert same(found, detector(photo))


def test_results_in_other_forms(detector, photo, tmp_path, monkeypatch):
    found = detector(photo)
    coco = found.to_coco(7, category_ids=[10, 20, 30, 40, 50, 60])
    first = coco[0]
    x, y, width, height = first["bbox"]
    assert np.allclose([x, y, x + width, y + height], found.boxes[0], atol=2e-3) and first["image_id"] == 7
    assert first["category_id"] == 10 * (found.labels[0] + 1) and np.float32(first["score"]) == found.scores[0]
    json.dumps(coco)
    found.save(tmp_path / "drawn.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "drawn.png")), found.draw())
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(detection.InputError, match="supervision is not installed; pip install supervision"):
        found.to_supervision()


def test_a_table_has_a_row_for_each_object(detector, photo):
    pytest.importorskip("pandas")
    found = detector(photo)
    table = found.to_dataframe()
    assert list(table.columns) == ["x1", "y1", "x2", "y2", "score", "label", "name"] and len(table) == len(found)


def test_threads_and_several_detectors_do_not_disturb_each_other(detector, trained, shapes):
    images = sorted((shapes / "train").iterdir())
    other = detection.load(trained / "best.pt", device="cpu", size=96)
    alone = [detector(path) for path in images], [other(path) for path in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(detector, images)), list(pool.map(other, images))
    assert all(same(a, b) for a, b in zip(alone[0] + alone[1], together[0] + together[1]))
    assert not all(same(a, b) for a, b in zip(*alone))


def test_evaluation_is_the_commands(detector, trained, shapes, tmp_path):
    words = ["evaluate", "--checkpoint", str(trained / "best.pt"), f"--output={tmp_path}", "--split=train"]
    assert main(words) == 0
    written = json.loads((tmp_path / "evaluation.json").read_text())
    numbers = detection.evaluate(detector, data=shapes, split="train", workers=0)
    assert numbers.items() <= written.items() and numbers["images"] == 6


class Log(detection.Callback):
    def __init__(self):
        self.told = []

    def on_start(self, iteration, total):
        self.told.append(("start", iteration, total))

    def on_step(self, iteration):
        self.told.append(("step", iteration))

    def on_report(self, iteration, values):
        self.told.append(("report", iteration, {"loss", "lr", "images_per_second"} <= values.keys()))

    def on_evaluation(self, iteration, metrics):
        self.told.append(("evaluation", iteration, "AP" in metrics))

    def on_checkpoint(self, path):
        assert path.is_file()
        self.told.append(("checkpoint", path.name))

    def on_picture(self, name, iteration, picture):
        self.told.append(("picture", iteration, picture.dtype))

    def on_end(self):
        self.told.append(("end",))


def test_training_is_the_commands_and_tells_its_callbacks(tiny, shapes, trained, tmp_path):
    settings = dict(option.removeprefix("--").split("=", 1) for option in tiny)
    log = Log()
    run = detection.train(shapes, output=tmp_path / "run", settings=settings, callbacks=[log])
    assert run.folder == tmp_path / "run" and run.config.train.iterations == 2
    written = json.loads((trained / "evaluation.json").read_text())["stats"]
    assert {k: v for k, v in run.metrics.items() if v >= 0} == pytest.approx(
        {k: v for k, v in written.items() if v is not None}
    )
    ours, theirs = (torch.load(f / "best.pt", weights_only=True)["model"] for f in (run.folder, trained))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert run.detector.class_names == detection.load(trained / "best.pt").class_names
    assert [told for told in log.told if told[0] == "step"] == [("step", 1), ("step", 2)]
    assert ("evaluation", 2, True) in log.told and ("checkpoint", "best.pt") in log.told
    assert log.told[0] == ("start", 0, 2) and log.told[-1] == ("end",) and ("picture", 2, np.uint8) in log.told
    assert ("report", 2, True) in log.told
    with pytest.raises(detection.InputError, match="did you mean --batch"):
        detection.train(shapes, output=tmp_path / "other", batch_size=2)
    assert not (tmp_path / "other").exists()


def test_a_loop_of_ones_own_learns(capsys):
    history = runpy.run_path(str(ROOT / "examples/own_loop.py"))["main"](epochs=4)
    assert history[-1] < 0.8 * history[0]
    assert len((ROOT / "examples/own_loop.py").read_text().splitlines()) < 60


def test_the_examples_of_the_docstrings_run(trained, shapes, tiny, tmp_path, monkeypatch, photo):
    """With the names that they use, in a folder where these files are."""
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    Path("runs/train").symlink_to(trained)
    Path("photo.jpg").symlink_to(photo)
    loaded = detection.load("runs/train/best.pt", device="cpu")
    short = {key.removeprefix("--"): value for key, value in (option.split("=", 1) for option in tiny)}
    short.pop("train.iterations")
    train = detection.train

    def quick(**given):
        return train(**{**given, "data": shapes, "epochs": 0.4, "settings": {**short, **given["settings"]}})

    names = {
        "detection": detection,
        "detector": loaded,
        "array": loaded("photo.jpg").image,
        "pil_image": Image.open(photo),
    }
    monkeypatch.setattr(detection, "train", quick, raising=False)
    ran = 0
    for owner in (detection, *(getattr(detection, name) for name in detection.__all__ if name != "train"), train):
        for test in doctest.DocTestFinder(recurse=False).find(owner, "example", globs=dict(names)):
            for example in test.examples:
                exec(compile(example.source, "example", "single"), test.globs)
                ran += 1
    assert ran >= 12
