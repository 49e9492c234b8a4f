"""Detectors on the Hugging Face Hub: `detection.push`, and addresses as hf://user/name or hf://user/name@revision."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from detection import __version__, checkpoint
from detection.errors import InputError
from detection.files.atomic import write_atomically
from detection.markdown import markdown_table

FILE, CARD = "model.safetensors", "README.md"
ADDRESS = re.compile(r"hf:/{1,2}([\w.\-]+/[\w.\-]+)(?:@([\w./\-]+))?")
"""With one slash, as a path makes of it."""


def fetch(address: str) -> Path:
    """The file of a detector on the hub, in the cache of huggingface_hub. Raises `InputError` where there is none."""
    found = ADDRESS.fullmatch(address)
    if found is None:
        raise InputError(f"{address}: an address on the hub is hf://user/name or hf://user/name@revision")
    hub = _package()
    try:
        return Path(hub.hf_hub_download(found[1], FILE, revision=found[2]))
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        raise InputError(
            f"{address}: {FILE} cannot be fetched ({' '.join(str(error).split())[:200]}); "
            "check the address; `hf auth login` opens private ones"
        ) from error


def push(run: Path | str, repository: str, licence: str | None = None, private: bool = True) -> str:
    """Put the detector of a run onto the hub, with a card; its address there.

    run: a folder with best.pt, or a checkpoint; repository: user/name, made where it is not there; licence: of the
    weights, as the hub names it (apache-2.0, cc-by-4.0, other). Who pushes is who `hf auth login` knows. Raises
    `InputError`.
    """
    hub = _package()
    if not re.fullmatch(r"[\w.\-]+/[\w.\-]+", repository):
        raise InputError(f"{repository}: the name of a repository is user/name")
    with tempfile.TemporaryDirectory() as name:
        write_model(Path(run), Path(name), licence)
        try:
            api = hub.HfApi()
            api.create_repo(repository, private=private, exist_ok=True)
            api.upload_folder(repo_id=repository, folder_path=name, commit_message=f"frcnn {__version__}")
        except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
            text = " ".join(str(error).split())[:200]
            raise InputError(f"{repository}: cannot be written ({text}); log in with `hf auth login`") from error
    return f"hf://{repository}"


def write_model(run: Path, folder: Path, licence: str | None = None) -> None:
    """What `push` uploads: the weights as safetensors, and the card."""
    file = run / "best.pt" if run.is_dir() else run
    content = checkpoint.load(file, "detection")
    checkpoint.save(folder / FILE, content)
    evaluated = file.parent / "evaluation.json"
    numbers = json.loads(evaluated.read_text()) if evaluated.is_file() else None
    write_atomically(folder / CARD, card(content, numbers, licence).encode())


def card(content: dict[str, Any], evaluation: dict[str, Any] | None, licence: str | None = None) -> str:
    """A model card made of a checkpoint and of the evaluation.json beside it."""
    model, data = content["config"]["model"], content["config"]["data"]
    classes, thresholds = content["classes"], content.get("thresholds")
    head = ["library_name: frcnn-toolkit", "pipeline_tag: object-detection"]
    head += [f"license: {licence}"] if licence else []
    lines = ["---", *head, "---", "", f"# Faster R-CNN, {model['architecture']} {model['backbone']}", ""]
    lines += [f"Trained on {Path(str(data)).name} for {content['iteration']} iterations; {len(classes)} classes.", ""]
    lines += ["```python", "import detection  # pip install frcnn-toolkit[hub]", ""]
    lines += ['detector = detection.load("hf://USER/NAME")', 'found = detector("photo.jpg")', "```", ""]
    if evaluation is not None:
        stats = [(name, value) for name, value in evaluation["stats"].items() if isinstance(value, float)]
        images = f"{evaluation['images']} images, {evaluation['objects']} objects"
        lines += [
            "## Evaluation",
            "",
            f"On the validation split ({images}), by the {evaluation['protocol']} protocol:",
            "",
        ]
        lines += [markdown_table(["metric", "value"], [[name, f"{value:.3f}"] for name, value in stats], "lr"), ""]
    per_class = {} if evaluation is None else evaluation.get("per_class", {})
    rows = []
    for label, name in enumerate(classes):
        ap = per_class.get(name, {}).get("AP")
        threshold = "" if thresholds is None else f"{thresholds[label]:.3f}"
        rows.append([name, "" if ap is None else f"{ap:.3f}", threshold])
    lines += ["## Classes", "", markdown_table(["class", "AP", "score threshold"], rows, "lrr"), ""]
    lines += ["## Licence", "", licence or "Not stated by whoever trained it.", ""]
    return "\n".join(lines)


def _package() -> Any:
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        raise InputError("the hub needs a package; pip install 'frcnn-toolkit[hub]'") from error
    return huggingface_hub
