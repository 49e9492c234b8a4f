"""Files made to attack: each is refused or shown harmlessly, in one line and with status 2, and runs nothing."""

from __future__ import annotations

import html
import json
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
import torch
import yaml

from detection import checkpoint
from detection.cli.main import main
from detection.data.coco import read_coco
from detection.data.image import read_image
from detection.data.voc import write_voc
from detection.data.yolo import write_yolo
from detection.errors import InputError, printable
from detection.files.decode import open_image
from detection.files.documents import load_yaml

ESCAPE = "\x1b[31mred\x1b]0;title\x07"
SCRIPT = "<script>alert(1)</script>"


STRICT = "--dataset.invalid=error"
"""Without it, a flawed item is left out and counted."""


class Payload:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """refused(arguments..., named...): the command ends with status 2 and one harmless line that names those."""

    def check(arguments: list[str], *named: str) -> str:
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert (
            error.startswith("frcnn: error: ") and error.count("\n") == 1 and printable(error.strip()) == error.strip()
        )
        for name in named:
            assert name in error, error
        return error

    return check


@pytest.fixture
def coco(shapes: Path, tmp_path: Path) -> Path:
    return shutil.copytree(shapes, tmp_path / "data")


def change(folder: Path, **values: object) -> None:
    """Other values for the first category, image or annotation of the training split."""
    file = folder / "annotations/instances_train.json"
    content = json.loads(file.read_text())
    for key, value in values.items():
        section = {"name": "categories", "file_name": "images"}.get(key, "annotations")
        content[section][0][key] = value
    file.write_text(json.dumps(content))


def test_a_checkpoint_that_would_run_code_does_not(refused, shapes: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    torch.save({"format": 1, "model": Payload(tmp_path / "made")}, tmp_path / "best.pt")
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(Payload(tmp_path / "made"), protocol=2))
    for name in ("best.pt", "raw.pt"):
        refused(["evaluate", f"--checkpoint={tmp_path / name}"], name, "not a readable checkpoint")
        weights = f"--model.weights={tmp_path / name}"
        refused(["train", f"--data={shapes}", weights, f"--output={tmp_path / 'run'}", "--train.iterations=1"], name)
    assert not (tmp_path / "made").exists()


def test_a_checkpoint_that_would_fill_the_memory_is_refused(refused, trained: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    content = torch.load(trained / "best.pt", weights_only=True)
    first = next(iter(content["model"]))
    content["model"][first] = torch.zeros(1).expand(10**12)
    checkpoint.save(tmp_path / "wide.pt", content)  # with a checksum, as an attacker would
    refused(["evaluate", f"--checkpoint={tmp_path / 'wide.pt'}"], "wide.pt", first, "more numbers than the file")
    with zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(1 << 20))
    refused(["evaluate", f"--checkpoint={tmp_path / 'packed.pt'}"], "packed.pt", "compressed")
    content = torch.load(trained / "best.pt", weights_only=True)
    checkpoint.save(tmp_path / "red.pt", content | {"classes": [ESCAPE] * len(content["classes"])})
    refused(["evaluate", f"--checkpoint={tmp_path / 'red.pt'}"], "red.pt", "control characters")


@pytest.mark.parametrize(
    "prologue",
    [
        '<!DOCTYPE l [<!ENTITY a "ha">' + "".join(
            f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij")
        ) + "]>",
        '<!DOCTYPE l [<!ENTITY j SYSTEM "file:///etc/passwd">]>',
    ],
    ids=["billion laughs", "external entity"],
)  # fmt: skip
def test_xml_entities_are_refused(refused, coco: Path, tmp_path: Path, prologue: str) -> None:  # type: ignore[no-untyped-def]
    write_voc(read_coco(coco / "annotations/instances_train.json"), tmp_path / "voc")
    shutil.copytree(coco / "train", tmp_path / "voc/JPEGImages")
    xml = tmp_path / "voc/Annotations/000002.xml"
    xml.write_text(prologue + xml.read_text().replace("circle", "&j;"))
    for command in ("train", "check-data"):
        output = [f"--output={tmp_path / 'run'}", STRICT] if command == "train" else []
        if command == "train":
            refused([command, f"--data={tmp_path / 'voc'}", *output], "000002.xml", "not a plain XML file")
    assert main(["check-data", f"--data={tmp_path / 'voc'}"]) == 2  # it goes on with the other files


@pytest.mark.parametrize("name", ["../escaped.jpg", "/etc/passwd", "C:\\secret.jpg", "..\\x.jpg", "a/../../b.jpg"])
def test_image_names_do_not_leave_the_folder(refused, coco: Path, tmp_path: Path, name: str) -> None:  # type: ignore[no-untyped-def]
    change(coco, file_name=name)
    shutil.copyfile(coco / "train/000001.jpg", tmp_path / "escaped.jpg")
    refused(["train", f"--data={coco}", STRICT], "instances_train.json", "file_name", "inside the image folder")
    told: list[str] = []
    index = read_coco(coco / "annotations/instances_train.json", report=told.append)
    assert len(index) == 5 and "inside the image folder" in told[0], "left out where that is wanted, never opened"


def test_a_voc_file_name_is_not_believed(coco: Path, tmp_path: Path) -> None:
    index = read_coco(coco / "annotations/instances_train.json")
    write_voc(index, tmp_path / "voc")
    shutil.copytree(coco / "train", tmp_path / "voc/JPEGImages")
    xml = tmp_path / "voc/Annotations/000001.xml"
    xml.write_text(xml.read_text().replace("<filename>000001.jpg", "<filename>../../escaped.jpg"))
    assert main(["check-data", f"--data={tmp_path / 'voc'}"]) == 0


def png(width: int, height: int) -> bytes:
    """A PNG of this size as its header says, of a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def bombs() -> dict[str, bytes]:
    bmp = (
        b"BM"
        + struct.pack("<IHHI", 60, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0)
    )
    gif = b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0x80, 0, 0) + bytes(6) + b";"
    tags = [(256, 4, 1, 100_000), (257, 4, 1, 100_000), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8)]
    tags += [(277, 3, 1, 1), (278, 4, 1, 100_000), (279, 4, 1, 10)]
    tiff = b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return {
        "a.png": png(60_000, 60_000),
        "a.bmp": bmp + bytes(100),
        "a.gif": gif,
        "a.tiff": tiff,
        "a.ppm": b"P6 90000 90000 255\n",
    }


@pytest.mark.parametrize("name", bombs())
def test_an_image_bomb_is_refused_by_its_header(refused, trained: Path, tmp_path: Path, name: str) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / name).write_bytes(bombs()[name])
    arguments = ["predict", str(tmp_path / name), f"--checkpoint={trained / 'best.pt'}", f"--output={tmp_path / 'out'}"]
    refused(arguments, name, "too large" if name != "a.gif" else name)


def test_formats_that_run_programs_and_files_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    os.mkfifo(tmp_path / "b.jpg")
    with pytest.raises(InputError, match="a.jpg: not an image"):
        read_image(tmp_path / "a.jpg")
    with pytest.raises(InputError, match="b.jpg: the image cannot be decoded .not a file"):
        read_image(tmp_path / "b.jpg")
    with pytest.raises(InputError, match="not a file"):
        open_image(Path("/dev/zero"))


def test_yaml_runs_nothing_and_grows_no_further_than_its_file(refused, tmp_path: Path, coco: Path) -> None:  # type: ignore[no-untyped-def]
    lines = ["a: &a [x, x]"] + [f"{b}: &{b} [*{a}, *{a}, *{a}]" for a, b in zip("abcdefghijklmnop", "bcdefghijklmnopq")]
    attacks = {
        "python": f"train: !!python/object/apply:os.mkdir ['{tmp_path / 'made'}']",
        "aliases": "\n".join(lines),
        "deep": "a: " + "[" * 5000,
        "itself": "a: &a [*a]",
        "twice": "seed: 1\nseed: 2",
        "int": "a: !!int ''",
        "bytes": "a: \0",
    }
    for name, text in attacks.items():
        file = tmp_path / f"{name}.yaml"
        file.write_text(text)
        with pytest.raises(InputError, match=f"{name}.yaml: not a YAML file"):
            load_yaml(file, "a file")
        refused(["train", f"--data={coco}", f"--config={file}"], f"{name}.yaml")
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.yaml").write_text(text + "\nnames: [a]\ntrain: images")
        refused(["train", f"--data={tmp_path / name / 'data.yaml'}"], "data.yaml")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("format", ["coco", "voc", "yolo"])
def test_names_that_act_on_a_terminal_are_refused(refused, coco: Path, tmp_path: Path, format: str) -> None:  # type: ignore[no-untyped-def]
    index = read_coco(coco / "annotations/instances_train.json")
    data = coco
    if format == "coco":
        change(coco, name=ESCAPE)
    elif format == "voc":
        data = tmp_path / "voc"
        write_voc(index, data)
        xml = data / "Annotations/000001.xml"
        xml.write_text(xml.read_text().replace("<name>", "<name>&#x9b;31m\u202e", 1))
    else:
        data = tmp_path / "yolo/data.yaml"
        write_yolo(index, data.parent)
        shutil.copytree(coco / "train", data.parent / "images/train")
        data.write_text(yaml.safe_dump(yaml.safe_load(data.read_text()) | {"names": [ESCAPE] * 6}))
    refused(["train", f"--data={data}", STRICT], "control characters")


def test_a_script_in_a_class_name_is_text_on_every_page(coco: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    for split in ("train", "val"):
        file = coco / f"annotations/instances_{split}.json"
        content = json.loads(file.read_text())
        content["categories"][0]["name"] = SCRIPT
        content["categories"][1]["name"] = "![x](http://h/x.png)|$\\frac{"
        content["annotations"] += [content["annotations"][0] | {"id": 10_000}]
        file.write_text(json.dumps(content))
    assert main(["check-data", f"--data={coco}", f"--output={tmp_path / 'check'}"]) == 1
    page = (tmp_path / "check/check.html").read_text()
    assert "<script" not in page and html.escape(SCRIPT) in page
    val = json.loads((coco / "annotations/instances_val.json").read_text())
    found = [{k: a[k] for k in ("image_id", "category_id", "bbox")} | {"score": 0.5} for a in val["annotations"]]
    (tmp_path / "found.json").write_text(json.dumps(found))
    arguments = ["compare", str(tmp_path / "found.json"), f"--data={coco}", "--split=val", "--resamples=0"]
    assert main([*arguments, f"--output={tmp_path / 'pages'}"]) == 0
    for name in ("compare.html", "compare.md"):
        text = (tmp_path / "pages" / name).read_text()
        assert "<script" not in text and html.escape(SCRIPT, quote=False) in text
    assert "](http" not in (tmp_path / "pages/compare.md").read_text()
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "not a JSON file"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}], "images": []}', "twice"),
        ('{"images": [{"id": 1, "file_name": "a.jpg", "height": 1e400, "width": 1}], "annotations": [],', "not a JSON"),
        ('{"images": [], "annotations": %s, "categories": []}' % ("9" * 5000), "not a JSON file"),
    ],
    ids=["deep", "twice", "cut", "digits"],
)  # fmt: skip
def test_json_without_end_or_sense_is_refused(refused, tmp_path: Path, text: str, reason: str) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.json").write_text(text)
    refused(["train", f"--data={tmp_path / 'a.json'}"], "a.json", reason)


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1e999", "9" * 400, "1e12"])
def test_numbers_that_no_image_has_are_refused_with_their_item(refused, coco: Path, value: str) -> None:  # type: ignore[no-untyped-def]
    change(coco, bbox=["VALUE", 1, 5, 5])
    file = coco / "annotations/instances_train.json"
    file.write_text(file.read_text().replace('"VALUE"', value))
    refused(["train", f"--data={coco}", STRICT], "instances_train.json", "annotation 1", "bbox")


def test_marks_of_windows_editors_are_taken(coco: Path, tmp_path: Path) -> None:
    for file in (coco / "annotations").iterdir():
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b", ", b",\r\n"))
    index = read_coco(coco / "annotations/instances_train.json")
    for write, data in ((write_voc, tmp_path / "voc"), (write_yolo, tmp_path / "yolo")):
        write(index, data)
        shutil.copytree(coco / "train", data / ("JPEGImages" if write is write_voc else "images/train"))
        for file in data.rglob("*"):
            if file.suffix in (".txt", ".xml", ".yaml"):
                file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    for data in (coco, tmp_path / "voc", tmp_path / "yolo"):
        assert main(["check-data", f"--data={data}"]) == 0


def test_a_message_is_one_line_of_bounded_length_whatever_is_in_it() -> None:
    message = str(InputError(f"{ESCAPE}\nsecond\u2028line\ud800" + "x" * 100_000))
    assert "\n" not in message and "\x1b" not in message and len(message) < 2100
    message.encode()
    assert message.startswith("\\x1b[31mred\\x1b]0;title\\x07 second")
