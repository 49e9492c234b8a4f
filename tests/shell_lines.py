"""Lines of the shell as pages show them, run on small data: commands of ours in this process, others as they stand."""

from __future__ import annotations

import dataclasses
import io
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from detection.cli.main import main
from detection.config.command_line import CommandLine
from detection.config.pretrain import PretrainConfig
from detection.config.schema import Config

NOT_RUN = {
    r"^pip install ": "asks a package index",
    r"^(make|pre-commit|\.venv/bin/pre-commit) ": "is what starts these tests",
    r"^\.venv/bin/pytest ": "is what runs these tests",
    r"--fixed 480x640": "wants images of that size; tests/export/test_fixed.py",
    r"slide.svs": "wants a slide; tests/data/test_slide.py",
    r"--backend openvino": "takes 15 s; tests/export/test_export.py",
    r"--data shapes": "draws and validates on hundreds of pictures; tests/cli/test_end_to_end.py",
    r"paper/voc_resnet101": "is four trainings; tests/training/test_alternating.py",
    r"^RAY_ADDRESS=": "needs a cluster; tests/cli/test_predict_ray.py makes one",
    r"prepare-data ": "asks the servers of the datasets; tests/data/test_archives.py has one of its own",
    r"reproduce table": "takes minutes; tests/experiments/test_reproduction.py",
    r"^python tools/": "takes minutes to hours; tests/tools",
}
"""Lines of pages that are not run: pattern -> why."""

KINDS = {"train": Config, "pretrain": PretrainConfig}
LENGTH = ("train.epochs", "train.iterations", "train.time", "train.batch")
"""What a page says of the length of a run, for which the small options stand."""
TRAINING = ("degradation", "gradients")
"""Experiments that train classifiers by the settings of `pretrain`."""
NARROW = ("model.width", "model.weights")
CONTENT = {"check-data": (0, 1)}
"""Commands whose exit status tells what they found."""


@dataclass
class Shell:
    """Runs lines in the present folder. small: command -> options of a run of a second. skipped: pattern -> why lines
    that it matches are not run. address: of the last service that was started."""

    small: dict[str, list[str]]
    skipped: dict[str, str]
    monkeypatch: pytest.MonkeyPatch
    services: list[subprocess.Popen[str]] = field(default_factory=list)
    address: str = ""

    def run(self, line: str) -> None:
        """Raises AssertionError where the line fails."""
        if any(re.search(pattern, line) for pattern in self.skipped):
            return
        line = line.replace(" /data", f" {Path.cwd()}/data").replace("https://host/", "")
        words = shlex.split(line, comments=True)
        shutil.rmtree("OUT", ignore_errors=True)
        if words[:2] == ["frcnn", "serve"]:
            self._serve(words[2:])
        elif words[0] == "frcnn":
            self._command(words[1:])
        elif "| frcnn " in line:
            before, _, after = line.partition("| frcnn ")
            listed = subprocess.run(before, shell=True, check=True, capture_output=True, text=True).stdout
            self.monkeypatch.setattr(sys, "stdin", io.StringIO(listed))
            self._command(shlex.split(after, comments=True))
        elif words[0] == "curl":
            line = line.replace("curl ", "curl --fail --silent --show-error ").replace("127.0.0.1:8000", self.address)
            done = subprocess.run(line, shell=True, capture_output=True, text=True, errors="replace")
            assert done.returncode == 0, f"{line}: {done.stderr}"
        else:
            raise AssertionError(f"{line}: is neither run nor listed with a reason why not")

    def _command(self, words: list[str]) -> None:
        name, rest = words[0], words[1:]
        if name in KINDS:
            rest = self._shortened(name, rest)
        elif name in TRAINING:
            rest += [option for option in self.small["pretrain"] if not option.startswith("--net.name")]
            rest += ["--train.iterations=2", "--train.evaluate_every=2", "--train.amp=off"]
        assert main([name, *rest]) in CONTENT.get(name, (0,)), " ".join(words)

    def _shortened(self, name: str, words: list[str]) -> list[str]:
        read = CommandLine.read(words, KINDS[name])
        small = CommandLine.read(self.small[name], KINDS[name]).given
        if read.files or read.given.get("model.weights", "").endswith(".pth"):  # which say what the model is
            narrow = NARROW if read.files else ()
            kept = {key: small[key] for key in small if not key.startswith("model.") or key in narrow}
            small = kept | ({"model.norm": "group"} if name == "train" and read.files else {})
        if read.wanted or read.gives("resume"):
            return words
        if not read.gives("output") and not read.files:
            shutil.rmtree("runs/train", ignore_errors=True)  # where a run of another line has gone
        given = {key: value for key, value in read.given.items() if key not in LENGTH}
        return dataclasses.replace(read, given=small | given, fit_batch=False).all_words

    def _serve(self, words: list[str]) -> None:
        where = ("--host", "--port")
        kept = [word for before, word in zip(["", *words], words) if word not in where and before not in where]
        command = [sys.executable, "-m", "detection", "serve", *kept, "--port=0"]
        self.services.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        lines = iter(self.services[-1].stdout or ())
        told = next((line for line in lines if line.startswith("serving at ")), "")
        assert told, f"frcnn serve {' '.join(words)}: ended"
        self.address = told.removeprefix("serving at http://").strip()

    def close(self) -> None:
        for service in self.services:
            service.kill()
            service.communicate()


def lines_of(block: str, console: bool) -> list[str]:
    """The lines that one would type of a block; of a console those after `$ `. Continued lines are joined."""
    lines = block.replace("\\\n", " ").splitlines()
    typed = [line[2:] for line in lines if line.startswith("$ ")] if console else lines
    return [line for line in typed if line.strip() and not line.startswith("#")]


def copy_of(source: Path, *places: Path) -> None:
    """Images under other names, in folders that may not be there yet."""
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(source.read_bytes())
