"""Videos, cameras and streams: their frames, and a video of what was found in them. By OpenCV."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np

from detection.errors import InputError

ENDINGS = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv"})
STREAMS = ("rtsp://", "rtmp://", "udp://")
USUAL_RATE = 25.0
"""Frames a second of a stream that does not say."""


def is_video(name: str) -> bool:
    """Whether a name is that of a video file, a camera (its number) or a stream."""
    return Path(name).suffix.lower() in ENDINGS or name.startswith(STREAMS) or name.isdecimal()


class Video:
    """An open video. rate: frames a second; count: of the frames, 0 where nobody knows. Raises `InputError` for what
    cannot be opened."""

    def __init__(self, name: str) -> None:
        import cv2

        if not name.isdecimal() and not name.startswith(STREAMS) and not Path(name).is_file():
            raise InputError(f"{name}: there is no such video")
        self.name = name
        self._capture = cv2.VideoCapture(int(name) if name.isdecimal() else name)
        if not self._capture.isOpened():
            what = "camera" if name.isdecimal() else "video"
            raise InputError(f"{name}: no {what} that OpenCV can open; convert it to mp4, or give another")
        self.rate = self._capture.get(cv2.CAP_PROP_FPS) or USUAL_RATE
        self.count = max(int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0) if Path(name).is_file() else 0

    def frames(self) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB in turn."""
        import cv2

        try:
            while True:
                there, frame = self._capture.read()
                if not there:
                    return
                yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        finally:
            self._capture.release()


class VideoFile:
    """A video that is written frame by frame, to be used as a context; it appears under its name when it is whole, and
    with what there is of it where the writing is interrupted."""

    def __init__(self, path: Path, rate: float) -> None:
        self.path, self.rate = path, rate
        self._draft = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
        self._writer: object = None

    def __enter__(self) -> VideoFile:
        return self

    def add(self, frame: np.ndarray) -> None:
        """(H, W, 3) uint8 RGB, all of one size."""
        import cv2

        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            size = (frame.shape[1], frame.shape[0])
            self._writer = cv2.VideoWriter(str(self._draft), cv2.VideoWriter.fourcc(*"mp4v"), self.rate, size)
            if not self._writer.isOpened():
                raise InputError(f"{self.path}: cannot be written as a video; give a path in a writable folder")
        assert isinstance(self._writer, cv2.VideoWriter)
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        import cv2

        if isinstance(self._writer, cv2.VideoWriter):
            self._writer.release()
            os.replace(self._draft, self.path)
