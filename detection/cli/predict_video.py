"""`frcnn predict` of videos, cameras and streams: a line of JSON a frame, and a video with the detections drawn."""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detection.counted import counted
from detection.errors import InputError
from detection.progress import track

if TYPE_CHECKING:
    from detection.records import Detections


def predict_videos(args: argparse.Namespace, detector: Any) -> dict[str, Any]:
    """Every video in turn; what was written of each. An interrupted one keeps what there is."""
    from detection.files.outputs import refuse_overwriting
    from detection.predict.collect import picture_names
    from detection.predict.video import is_video

    others = [name for name in args.images if not is_video(name)]
    if others:
        raise InputError(f"{others[0]}: is no video, and {args.images[0]} is one; predict them in two calls")
    names = picture_names([Path(_plain(name)) for name in args.images])
    places = [args.output / Path(picture).stem for picture in names]
    files = [place.with_name(f"{place.name}{ending}") for place in places for ending in (".jsonl", ".mp4")]
    refuse_overwriting(files, [Path(name) for name in args.images])
    written = {}
    for name, place in zip(args.images, places):
        found = _one(args, detector, name, place)
        objects = f" of {counted(found['objects'], 'object')}" if args.track else ""
        frames = counted(found["frames"], "frame")
        print(f"{counted(found['detections'], 'detection')}{objects} in {frames}: {place}.jsonl")
        written[name] = {**found, "file": f"{place}.jsonl"}
    return written


def _plain(name: str) -> str:
    """A file name for a camera or a stream too."""
    return f"camera{name}" if name.isdecimal() else name.partition("://")[2] or name


def _one(args: argparse.Namespace, detector: Any, name: str, place: Path) -> dict[str, int]:
    """How many frames were looked at, and what was found in them."""
    from detection.predict.draw import draw
    from detection.predict.tracking import Tracker
    from detection.predict.video import Video, VideoFile

    video = Video(name)
    rate = video.rate / args.every
    tracker = Tracker(rate) if args.track else None
    frames, count, objects = 0, 0, set[int]()
    place.parent.mkdir(parents=True, exist_ok=True)
    drawn = None if args.no_pictures else VideoFile(place.with_name(f"{place.name}.mp4"), rate)
    with place.with_name(f"{place.name}.jsonl").open("w") as lines, drawn or contextlib.nullcontext():
        for number, frame in enumerate(track(video.frames(), "predicting frames", video.count)):
            if number % args.every:
                continue
            found = detector.detect([detector.prepare(frame)])[0].above(args.least)
            numbers = tracker.number(found) if tracker else []
            records = _records(name, found, detector.class_names, numbers)
            row = {"frame": number, "time": round(number / video.rate, 3), "detections": records}
            lines.write(json.dumps(row) + "\n")
            lines.flush()
            frames, count = frames + 1, count + len(found.boxes)
            objects.update(numbers)
            if drawn is not None:
                boxes, labels, scores = found.boxes.numpy(), found.labels.numpy(), found.scores.numpy()
                drawn.add(draw(frame, boxes, labels, detector.class_names, scores, numbers))
    if not frames:
        raise InputError(f"{name}: has no frame that can be read")
    return {"frames": frames, "detections": count, **({"objects": len(objects)} if tracker else {})}


def _records(name: str, found: Detections, classes: tuple[str, ...], numbers: list[int]) -> list[dict[str, Any]]:
    """The detections of a frame, with the numbers of their objects where those are known."""
    from detection.predict.output import to_records

    records = to_records(name, found, classes)["detections"]
    return [{**record, "track": number} for record, number in zip(records, numbers)] if numbers else records
