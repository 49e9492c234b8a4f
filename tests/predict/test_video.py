"""A video in, a line of JSON a frame and a video with boxes out."""

import json

import cv2
import numpy as np

from detection.cli.main import main
from detection.data.image import read_image
from detection.predict.video import Video, VideoFile, is_video


def clip(path, images, times):
    with VideoFile(path, 10.0) as video:
        for _ in range(times):
            for image in images:
                video.add(image)
    return path


def test_what_is_written_is_read(tmp_path):
    frames = [np.full((48, 64, 3), colour, np.uint8) for colour in ((200, 30, 30), (30, 200, 30))]
    video = Video(str(clip(tmp_path / "a.mp4", frames, 3)))
    read = list(video.frames())
    assert (len(read), video.count, round(video.rate)) == (6, 6, 10)
    assert np.abs(read[1].mean((0, 1)) - (30, 200, 30)).max() < 12  # RGB, as it was given
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert all(map(is_video, ("0", "x/Y.MOV", "rtsp://host/1"))) and not any(map(is_video, ("a.jpg", "photos", "-")))


def test_every_other_frame_of_a_video(trained, shapes, tmp_path, capsys):
    images = [read_image(path) for path in sorted((shapes / "val").iterdir())]
    file = clip(tmp_path / "clip.mp4", images, 2)
    words = ["predict", str(file), f"--checkpoint={trained / 'best.pt'}", f"--output={tmp_path / 'out'}"]
    assert main([*words, "--score=0.05", "--every=2", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    rows = [json.loads(line) for line in (tmp_path / "out" / "clip.jsonl").read_text().splitlines()]
    assert [(row["frame"], row["time"]) for row in rows] == [(0, 0.0), (2, 0.2), (4, 0.4)]
    assert answer[str(file)]["detections"] == sum(len(row["detections"]) for row in rows) > 0
    drawn = cv2.VideoCapture(str(tmp_path / "out" / "clip.mp4"))
    assert drawn.get(cv2.CAP_PROP_FRAME_COUNT) == 3 and drawn.get(cv2.CAP_PROP_FPS) == 5
    assert (
        main(["predict", str(file), words[2], f"--output={tmp_path}"]) == 2
    )  # it would be replaced by its own picture
    assert "clip.mp4" in capsys.readouterr().err
    file.write_bytes(b"no video")
    assert main([*words]) == 2
    assert f"{file}: no video that OpenCV can open" in capsys.readouterr().err
