"""Real file systems that are full or read-only, where the test may mount them."""

import shutil
import subprocess

import pytest

from detection import checkpoint
from detection.cli.main import main
from detection.files.outputs import MARKER

pytestmark = pytest.mark.thorough


@pytest.fixture
def disk(tmp_path):
    """A memory file system of 24 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    made = subprocess.run(mount, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"cannot mount: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


ROUNDS = ["--train.iterations=8", "--train.checkpoint_every=2", "--train.evaluate_every=8", "--train.log_every=1"]


def refused(capsys, reason):
    error = capsys.readouterr().err
    assert error.startswith("frcnn: error: ") and error.count("\n") == 1 and reason in error, error


def test_a_disk_that_fills_up_stops_the_run_which_goes_on_once_there_is_room(disk, shapes, tiny, tmp_path, capsys):
    whole, run = tmp_path / "whole", disk / "run"
    arguments = ["train", *tiny, f"--data={shapes}", *ROUNDS]
    assert main([*arguments, f"--output={whole}"]) == 0
    capsys.readouterr()
    # Room for two checkpoints beside the pictures of the first batches, not for three.
    size = (whole / "last.pt").stat().st_size
    beside = sum(file.stat().st_size for file in [*whole.glob("batches/*"), *whole.glob("tensorboard/*")])
    (disk / "other").write_bytes(bytes(24 * 2**20 - size * 5 // 2 - beside))
    assert main([*arguments, f"--output={run}"]) == 2
    refused(capsys, "No space left on device")
    assert checkpoint.load(run / "last.pt", "detection")["iteration"] == 4
    assert not [path.name for path in run.iterdir() if path.name.startswith(".") and path.name != MARKER]
    (disk / "other").unlink()
    assert main([*arguments, f"--output={run}", "--resume=true"]) == 0
    one, two = (checkpoint.load(folder / "last.pt", "detection")["model"] for folder in (whole, run))
    assert all(bool((one[key] == two[key]).all()) for key in one)


def test_a_read_only_disk_is_refused_in_one_line(disk, shapes, tiny, trained, capsys):
    run = shutil.copytree(trained, disk / "run")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    before = (run / "last.pt").read_bytes()
    assert main(["train", *tiny, f"--data={shapes}", f"--output={run}", "--resume=true"]) == 2
    refused(capsys, "run: cannot be written (Read-only file system); its file system is read-only")
    assert main(["train", *tiny, f"--data={shapes}", f"--output={disk / 'new'}"]) == 2
    refused(capsys, "Read-only file system")
    assert (run / "last.pt").read_bytes() == before
