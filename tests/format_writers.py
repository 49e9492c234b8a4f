"""Further formats of annotations, written here as their tools write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from trees import HEIGHT, WIDTH, corners, save

Things = dict[str, list[tuple[str, list[int]]]]
Writer = Callable[[Path, Things], None]


def each(data: Things) -> list[tuple[str, str, list[int]]]:
    return [(stem, name, box) for stem, things in data.items() for name, box in things]


def csv_of_tensorflow(root: Path, data: Things) -> None:
    rows = [f"{s}.png,{WIDTH},{HEIGHT},{n},{','.join(map(str, corners(b)))}" for s, n, b in each(data)]
    save(root / "train_labels.csv", "\n".join(["filename,width,height,class,xmin,ymin,xmax,ymax", *rows]))


def csv_of_retinanet(root: Path, data: Things) -> None:
    rows = [f"/home/x/{s}.png,{','.join(map(str, corners(b)))},{n}" for s, n, b in each(data)]
    save(root / "boxes.csv", "\n".join(rows + [f"/home/x/{s}.png,,,,," for s, things in data.items() if not things]))


def csv_with_semicolons(root: Path, data: Things) -> None:
    rows = [f"{n};{b[0]};{b[1]};{b[2]};{b[3]};images\\{s}.png" for s, n, b in each(data)]
    save(root / "boxes.csv", "\ufefflabel_name;bbox_x;bbox_y;bbox_width;bbox_height;image_name\n" + "\n".join(rows))


def csv_of_open_images(root: Path, data: Things) -> None:
    rows = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf\n"
    for stem, name, box in each(data):
        x1, y1, x2, y2 = corners(box)
        shares = f"{x1 / WIDTH:.9f},{x2 / WIDTH:.9f},{y1 / HEIGHT:.9f},{y2 / HEIGHT:.9f}"
        rows += f"{stem},xclick,/m/{name},1,{shares},0,0,0\n"
    save(root / "oidv6-train-annotations-bbox.csv", rows)
    save(root / "class-descriptions-boxable.csv", "/m/cat,cat\n/m/dog,dog\n")


def labelme(root: Path, data: Things) -> None:
    for stem, things in data.items():
        shapes = []
        for name, box in things:
            x1, y1, x2, y2 = corners(box)
            shapes.append({"label": name, "shape_type": "rectangle", "points": [[x2, y1], [x1, y2]]})
        content = {"shapes": shapes, "imagePath": f"..\\img\\{stem}.png", "imageHeight": HEIGHT, "imageWidth": WIDTH}
        save(root / "json" / f"{stem}.json", content)


def createml(root: Path, data: Things) -> None:
    def entry(name: str, box: list[int]) -> dict[str, Any]:
        x, y, w, h = box
        return {"label": name, "coordinates": {"x": x + w / 2, "y": y + h / 2, "width": w, "height": h}}

    items = [{"image": f"{s}.png", "annotations": [entry(*thing) for thing in things]} for s, things in data.items()]
    save(root / "_annotations.createml.json", items)


def via(root: Path, data: Things) -> None:
    def region(name: str, box: list[int]) -> dict[str, Any]:
        shape = dict(zip(("x", "y", "width", "height"), box))
        return {"shape_attributes": {"name": "rect", **shape}, "region_attributes": {"class": name, "note": "x"}}

    content = {
        f"{s}.png123": {"filename": f"{s}.png", "size": 123, "regions": [region(*thing) for thing in things]}
        for s, things in data.items()
    }
    save(root / "via_project.json", {"_via_settings": {}, "_via_img_metadata": content})


def label_studio(root: Path, data: Things) -> None:
    def result(name: str, box: list[int]) -> dict[str, Any]:
        x, y, w, h = box
        value = {"x": 100 * x / WIDTH, "y": 100 * y / HEIGHT, "width": 100 * w / WIDTH, "height": 100 * h / HEIGHT}
        size = {"original_width": WIDTH, "original_height": HEIGHT, "type": "rectanglelabels"}
        return {**size, "value": {**value, "rotation": 0, "rectanglelabels": [name]}}

    tasks = [
        {
            "id": k,
            "data": {"image": f"/data/upload/1/0123abcd-{stem}.png"},
            "annotations": [{"was_cancelled": False, "result": [result(*thing) for thing in things]}],
        }
        for k, (stem, things) in enumerate(data.items())
    ]
    save(root / "project-1.json", tasks)


def label_studio_min(root: Path, data: Things) -> None:
    label_studio(root, data)
    tasks = json.loads((root / "project-1.json").read_text())
    flat = [
        {
            "id": task["id"],
            "image": task["data"]["image"],
            "annotation_id": 1,
            "label": [{**r["value"], **{k: r[k] for k in r if k != "value"}} for r in task["annotations"][0]["result"]],
        }
        for task in tasks
    ]
    save(root / "project-1.json", flat)


def cvat(root: Path, data: Things) -> None:
    text = "<annotations><version>1.1</version>"
    for k, (stem, things) in enumerate(data.items()):
        text += f'<image id="{k}" name="some/{stem}.png" width="{WIDTH}" height="{HEIGHT}">'
        for name, box in things:
            sides = " ".join(f'{side}="{value}"' for side, value in zip(("xtl", "ytl", "xbr", "ybr"), corners(box)))
            text += f'<box label="{name}" occluded="0" {sides}></box>'
        text += "</image>"
    save(root / "annotations.xml", text + "</annotations>")


def huggingface(root: Path, data: Things) -> None:
    rows = [
        {"file_name": f"{s}.png", "objects": {"bbox": [b for _, b in things], "categories": [n for n, _ in things]}}
        for s, things in data.items()
    ]
    save(root / "img/metadata.jsonl", "\n".join(map(json.dumps, rows)))


def supervisely(root: Path, data: Things) -> None:
    for stem, things in data.items():
        objects = []
        for name, box in things:
            x1, y1, x2, y2 = corners(box)
            points = {"exterior": [[x1, y1], [x2, y2]], "interior": []}
            objects.append({"classTitle": name, "geometryType": "rectangle", "points": points})
        content = {"description": "", "size": {"height": HEIGHT, "width": WIDTH}, "objects": objects}
        save(root / "ann" / f"{stem}.png.json", content)
    save(root / "meta.json", {"classes": [], "tags": []})


def datumaro(root: Path, data: Things) -> None:
    names = sorted({name for _, name, _ in each(data)})
    items = [
        {
            "id": stem,
            "annotations": [{"type": "bbox", "label_id": names.index(n), "bbox": box} for n, box in things],
            "image": {"path": f"{stem}.png", "size": [HEIGHT, WIDTH]},
        }
        for stem, things in data.items()
    ]
    labels = {"label": {"labels": [{"name": name} for name in names]}}
    save(root / "annotations/default.json", {"info": {}, "categories": labels, "items": items})


def wider(root: Path, data: Things) -> None:
    text = ""
    for stem, things in data.items():
        rows = [" ".join(map(str, [*box, 0, 0, 0, 0, 0, 0])) for _, box in things] or ["0 0 0 0 0 0 0 0 0 0"]
        text += "\n".join([f"0--Parade/{stem}.png", str(len(things)), *rows]) + "\n"
    save(root / "wider_face_split/wider_face_train_bbx_gt.txt", text)


def coco(root: Path, data: Things) -> None:
    images = [{"id": 90 - k, "file_name": f"{s}.png", "width": WIDTH, "height": HEIGHT} for k, s in enumerate(data)]
    numbers = {"cat": 7, "dog": 3}
    annotations = [
        {"id": k, "image_id": 90 - list(data).index(s), "category_id": numbers[n], "bbox": b, "area": b[2] * b[3]}
        for k, (s, n, b) in enumerate(each(data))
    ]
    categories = [{"id": number, "name": name} for name, number in numbers.items()]
    save(root / "made.json", {"images": images, "annotations": annotations, "categories": categories})


def voc(root: Path, data: Things) -> None:
    """Corners count from 1, and the far one is the last pixel inside."""
    for stem, things in data.items():
        text = f"<annotation><filename>{stem}.png</filename>"
        text += f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
        for name, (x, y, w, h) in things:
            corners_of = f"<xmax>{x + w}</xmax><ymin>{y + 1}</ymin><ymax>{y + h}</ymax><xmin>{x + 1}</xmin>"
            text += f"<object><name>{name}</name><pose>Left</pose><bndbox>{corners_of}</bndbox></object>"
        save(root / "xml" / f"{stem}.xml", text + "</annotation>")


def yolo(root: Path, data: Things) -> None:
    """The second file has a row of an outline besides, where it has a box at all: the corners of its last."""
    for number, (stem, things) in enumerate(data.items()):
        lines = []
        for place, (name, (x, y, w, h)) in enumerate(things):
            centre = [(x + w / 2) / WIDTH, (y + h / 2) / HEIGHT, w / WIDTH, h / HEIGHT]
            outline = [x / WIDTH, y / HEIGHT, (x + w) / WIDTH, y / HEIGHT, (x + w) / WIDTH, (y + h) / HEIGHT]
            values = outline if number and place == len(things) - 1 else centre
            lines.append(f"{['cat', 'dog'].index(name)} {' '.join(f'{value:.9f}' for value in values)}\r\n")
        save(root / "img" / f"{stem}.txt", "".join(lines))
    save(root / "img" / "classes.txt", "cat\ndog\n")


WRITERS: list[Writer] = [
    coco, voc, yolo,
    csv_of_tensorflow, csv_of_retinanet, csv_with_semicolons, csv_of_open_images, labelme, createml, via, label_studio,
    label_studio_min, cvat, huggingface, supervisely, datumaro, wider,
]  # fmt: skip

box = st.tuples(st.integers(0, 60), st.integers(0, 40), st.integers(1, 20), st.integers(1, 20)).map(list)
things = st.lists(st.tuples(st.sampled_from(["cat", "dog"]), box), max_size=3)
