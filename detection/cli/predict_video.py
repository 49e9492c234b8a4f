"""`frcnn predict` of videos, cameras and streams: a line of JSON a frame, and a video with the detections drawn."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from detection.counted import counted
from detection.errors import InputError
from detection.progress import track


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
        frames, count = _one(args, detector, name, place)
        print(f"{counted(count, 'detection')} in {counted(frames, 'frame')}: {place}.jsonl")
        written[name] = {"frames": frames, "detections": count, "file": f"{place}.jsonl"}
    return written


def _plain(name: str) -> str:
    """A file name for a camera or a stream too."""
    return f"camera{name}" if name.isdecimal() else name.partition("://")[2] or name


def _one(args: argparse.Namespace, detector: Any, name: str, place: Path) -> tuple[int, int]:
    """How many frames were looked at, and what was found in them."""
    import contextlib

    from detection.predict.draw import draw
    from detection.predict.output import to_records
    from detection.predict.video import Video, VideoFile

    video, frames, count = Video(name), 0, 0
    place.parent.mkdir(parents=True, exist_ok=True)
    drawn = None if args.no_pictures else VideoFile(place.with_name(f"{place.name}.mp4"), video.rate / args.every)
    with place.with_name(f"{place.name}.jsonl").open("w") as lines, drawn or contextlib.nullcontext():
        for number, frame in enumerate(track(video.frames(), "predicting frames", video.count)):
            if number % args.every:
                continue
            found = detector.detect([detector.prepare(frame)])[0].above(args.least)
            record = to_records(name, found, detector.class_names)
            row = {"frame": number, "time": round(number / video.rate, 3), "detections": record["detections"]}
            lines.write(json.dumps(row) + "\n")
            lines.flush()
            frames, count = frames + 1, count + len(found.boxes)
            if drawn is not None:
                boxes, labels, scores = found.boxes.numpy(), found.labels.numpy(), found.scores.numpy()
                drawn.add(draw(frame, boxes, labels, detector.class_names, scores))
    if not frames:
        raise InputError(f"{name}: has no frame that can be read")
    return frames, count
