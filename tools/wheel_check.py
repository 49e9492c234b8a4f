"""Build the sdist and from it the wheel, install the wheel into an empty environment outside the checkout, and use it.

    python tools/wheel_check.py

The environment borrows the libraries of the one that runs this, by a path file, so that it takes seconds; the project
itself is in it only by the wheel.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TRAINING = (
    "--config quickstart --train.iterations 4 --batch 2 --size 96 --device cpu --workers 0 --train.pictures 1 "
    "--train.evaluate_every 4 --data SHAPES --output run"
)
DRAW = "from detection.data.shapes import write_shapes; from pathlib import Path; write_shapes(Path('SHAPES'), 6, 3)"
WHERE = "import backbones, detection; print(detection.__file__, backbones.__file__)"


def run(*words: str | Path, folder: Path) -> str:
    """The output of a command in `folder`; the checkout is not on its path."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(list(map(str, words)), cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        run(sys.executable, "-m", "build", "--outdir", place / "dist", ROOT, folder=ROOT)
        wheel = next((place / "dist").glob("*.whl"))
        venv.create(place / "venv", with_pip=True)
        python = place / "venv/bin/python"
        run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel, folder=place)
        packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=place).strip()
        Path(packages, "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
        where = run(python, "-c", WHERE, folder=place).split()
        assert all(Path(file).is_relative_to(packages) for file in where), f"not from the wheel: {where}"
        frcnn = place / "venv/bin/frcnn"
        assert "coco/r50_fpn_1x" in run(frcnn, "configs", folder=place)
        run(python, "-c", DRAW, folder=place)
        run(frcnn, "train", *TRAINING.split(), folder=place)
        run(frcnn, "predict", "--checkpoint", "run/best.pt", "--output", "found", "SHAPES/val", folder=place)
        assert (place / "found/predictions.json").is_file()
        print(f"{wheel.name}: {wheel.stat().st_size / 1024:.0f} KiB; installed, trained and predicted elsewhere")


if __name__ == "__main__":
    main()
