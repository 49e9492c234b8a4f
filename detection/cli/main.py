"""`frcnn COMMAND ...`: finds the command, runs it, and turns what a user can fix into one line and status 2.

Nothing heavy is imported before the command is known, so that help is instant.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import os
import sys

COMMANDS = {
    "train": "train or fine-tune a detector on your data",
    "evaluate": "AP of a checkpoint or of a file of predictions",
    "compare": "one table of several runs, with intervals and the paper's numbers",
    "submit": "files for the VOC and COCO evaluation servers",
    "pretrain": "train a classifier: a backbone, or the nets of the ResNet paper",
    "classify": "top-1 and top-5 error of classifiers and ensembles",
    "export": "a detector for OpenVINO (also int8) or ONNX Runtime",
    "predict": "detect objects in images; write JSON and pictures",
    "serve": "detectors over HTTP, with a page for people",
    "convert": "your dataset as COCO, PASCAL VOC or YOLO",
    "split": "your dataset in new parts: train, val and test",
    "merge": "several datasets as one",
    "configs": "the configs that come with the toolkit",
    "prepare-data": "fetch and lay out PASCAL VOC and COCO",
    "reproduce": "the detection tables of the ResNet paper",
    "report": "what a detector gets wrong and why, as one page",
    "threshold": "choose the score threshold of each class and store it in the checkpoint",
    "check-data": "what is wrong with your images and annotations, and a fixed copy",
}
EXPERIMENTS = {
    "degradation": "do deeper nets learn worse, plain and residual?",
    "responses": "how strongly the layers of trained nets respond",
    "gradients": "gradient norms by layer and stage",
    "lesion": "test error without single blocks of trained nets",
    "paths": "through paths of which length the gradient of trained nets comes",
    "identity": "what identity shortcuts promise of maps and gradients, checked",
    "summary": "depth, parameters, multiply-adds and memory of nets",
}

RESUMING = ("degradation", "gradients", "reproduce")
"""What goes on where it was interrupted, without being asked to."""

OTHERS = "another process of this job has ended, so this one stops too; the cause is in the error of that process"
MEMORY = (
    "out of memory; lower train.batch, --batch, input.train_short_sides or input.long_side, or raise train.accumulate"
)
MENDABLE = {
    "out of memory": MEMORY,
    "not enough memory": MEMORY,
    "DataLoader worker": "{reason}: a process that loads images was killed, usually by the system because "
    "memory ran out; lower input.workers, and resume with --resume",
    "C++ compiler": "--compiled and train.compile need a C++ compiler on a CPU: install g++, or leave them out",
    "onnection closed by peer": OTHERS,
    "onnection reset by peer": OTHERS,
    "Broken pipe": OTHERS,
    "Timed out waiting": OTHERS,
}
"""What torch says in a RuntimeError of what a user can fix, and the line for it."""

HELP = """usage: frcnn COMMAND [options]

Faster R-CNN with ResNet backbones.

commands:
{commands}

experiments of the ResNet paper, each writing JSON, a table and figures:
{experiments}

`frcnn COMMAND --help` lists the options. To get started:
  frcnn train --data shapes --output runs/shapes     the embedded dataset
  frcnn train --data PATH                            your COCO JSON, PASCAL VOC or YOLO folder, no config needed
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0 done, 2 something to fix, 128 + n stopped by signal n."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP.format(commands=_lines(COMMANDS), experiments=_lines(EXPERIMENTS)))
        return 0
    if arguments[0] == "--version":
        return _tell_versions()
    name = arguments[0]
    if name not in COMMANDS and name not in EXPERIMENTS:
        return _refuse(f"there is no command {name!r}; commands are {', '.join([*COMMANDS, *EXPERIMENTS])}")
    return _run(name, arguments[1:])


def _tell_versions() -> int:
    """What a report of a fault needs to say: versions, the device that would be used, its instructions."""
    from detection import parallel
    from detection.engine.provenance import versions

    for name, version in versions(parallel.choose_device("auto")).items():
        print(f"{name} {version}")
    return 0


def _warn_of_shadows() -> None:
    """Say where `backbones` is another package than the one that belongs to this `detection`."""
    found = importlib.util.find_spec("backbones")
    places = list(found.submodule_search_locations or ()) if found else []
    own = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if places and os.path.dirname(os.path.abspath(places[0])) != own:
        print(f"warning: backbones is {places[0]}, another package of this name; rename or remove it", file=sys.stderr)


def _lines(commands: dict[str, str]) -> str:
    return "\n".join(f"  {name:13} {text}" for name, text in commands.items())


def _run(name: str, arguments: list[str]) -> int:
    from detection.allocator import keep_freed_memory
    from detection.cli.progress import progress_on_terminal
    from detection.engine.signals import Interrupted
    from detection.errors import InputError
    from detection.threads import wait_asleep

    _warn_of_shadows()
    wait_asleep()
    keep_freed_memory()
    try:
        with progress_on_terminal():
            return importlib.import_module(f"detection.cli.{name.replace('-', '_')}").main(arguments)
    except InputError as error:
        return _refuse(str(error))
    except Interrupted as stop:
        how = "the same command resumes it" if name in RESUMING else "continue it with --resume"
        print(f"{stop}: the run is saved; {how}", flush=True)
        return 128 + stop.signal
    except SystemExit as asked:  # by argparse, for help
        return int(asked.code or 0)
    except PermissionError as error:
        return _refuse(f"{error.filename}: no permission ({error.strerror})")
    except MemoryError:
        return _refuse(MEMORY)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
            raise
        return _refuse(f"{error.filename or 'a file'}: {error.strerror}")
    except RuntimeError as error:
        cure = next((cure for sign, cure in MENDABLE.items() if sign in str(error)), None)
        if cure is None or (cure is OTHERS and os.environ.get("WORLD_SIZE", "1") == "1"):
            raise
        return _refuse(cure.format(reason=str(error).split(". ")[0]))


def _refuse(message: str) -> int:
    """Print the line, once for all processes of a job that meet the same."""
    line = " ".join(message.split())
    if "WORLD_SIZE" in os.environ:
        from detection.parallel import says_first

        if not says_first(line):
            return 2
    print(f"frcnn: error: {line}", file=sys.stderr, flush=True)
    return 2
