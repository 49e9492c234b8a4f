"""The four steps of alternating training: what is shared stays, what learns moves, and a kill costs nothing."""

import numpy as np
import pytest
import torch

from detection import checkpoint
from detection.config.read import read_config
from detection.config.schema import Config
from detection.engine.loop import Loop
from detection.errors import InputError
from detection.training.proposal_cache import load_proposals, save_proposals
from detection.training.train import train


@pytest.fixture
def config(tiny, shapes, tmp_path):
    def read(*options):
        data = [f"--data={shapes}", f"--output={tmp_path / 'run'}", "--train.mode=alternating", "--model.norm=group"]
        return read_config([*tiny, *data, *options], Config)

    return read


def state(folder, name="best.pt"):
    return checkpoint.load(folder / name, "detection")["model"]


PARTS = {"rpn": ("rpn.",), "regions": ("roi_stage.",), "shared": ("backbone.", "neck.")}


def unchanged(one, other, part):
    keys = [key for key in one if key.startswith(PARTS[part])]
    assert keys
    return all(torch.equal(one[key], other[key]) for key in keys)


@pytest.mark.parametrize("architecture", ["fpn", "c4"])
def test_each_step_moves_what_it_learns_and_nothing_else(config, tmp_path, architecture):
    sizes = "[[8],[16],[32],[64],[128]]" if architecture == "fpn" else "[[8,16,32]]"
    found = train(config(f"--model.architecture={architecture}", f"--model.anchors.sizes={sizes}"))
    run = tmp_path / "run"
    one, two, three, four = (state(run / f"step{i}") for i in (1, 2, 3, 4))
    assert not unchanged(one, two, "shared"), "steps 1 and 2 share nothing yet"
    assert unchanged(two, three, "shared") and unchanged(three, four, "shared"), "then the shared layers are fixed"
    assert unchanged(two, three, "regions") and not unchanged(three, four, "regions")
    assert not unchanged(two, three, "rpn") and unchanged(three, four, "rpn")
    final = state(run)
    assert all(torch.equal(final[key], four[key]) for key in four)
    assert found.evaluation is not None and "step4" in str(next(iter(set(found.files) - {run / "best.pt"})))
    assert len(load_proposals(run / "step3/proposals_train.npz", 6)) == 6


def test_a_kill_in_any_step_costs_nothing(config, tmp_path, monkeypatch):
    train(config(f"--output={tmp_path / 'whole'}"))
    step, seen = Loop._step, []

    def killed(loop, batches):
        seen.append(loop.objective)
        if len(seen) == 4:
            raise KeyboardInterrupt
        step(loop, batches)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Loop, "_step", killed)
        train(config())
    with pytest.raises(InputError, match="holds a run already; resume it with --resume"):
        train(config())
    train(config("--resume=true"))
    one, other = state(tmp_path / "whole"), state(tmp_path / "run")
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_the_second_stage_learns_from_the_cached_proposals_mirrored_with_the_image(config, shapes):
    from detection.data.dataset import DetectionDataset
    from detection.data.order import Draw
    from detection.loading.datasets import load_splits

    settings = config("--input.augment=[{name: HorizontalFlip, p: 1.0}]")
    index = load_splits(settings).train
    proposals = [np.array([[10, 20, 30, 60]], dtype=np.float32)] * len(index)
    sample = DetectionDataset(index, settings.input, training=True, proposals=proposals)[Draw(0, 0, 96)]
    width = int(index.sizes[0, 1])
    scale = sample.image.shape[2] / width
    expected = torch.tensor([[width - 30, 20, width - 10, 60]], dtype=torch.float32) * float(scale)
    torch.testing.assert_close(sample.proposals, expected)
    plain = DetectionDataset(index, settings.input, training=True)[Draw(0, 0, 96)]
    torch.testing.assert_close(sample.target.boxes, plain.target.boxes)


def test_proposals_survive_the_disk_and_broken_ones_are_refused(tmp_path):
    random = np.random.default_rng(0)
    proposals = [random.random((n, 4)).astype(np.float32) for n in (3, 0, 5)]
    save_proposals(tmp_path / "p.npz", proposals)
    assert all(np.array_equal(a, b) for a, b in zip(load_proposals(tmp_path / "p.npz", 3), proposals, strict=True))
    with pytest.raises(InputError, match="p.npz: holds proposals of 3 images, but the data has 4"):
        load_proposals(tmp_path / "p.npz", 4)
    (tmp_path / "q.npz").write_bytes((tmp_path / "p.npz").read_bytes()[:50])
    with pytest.raises(InputError, match="q.npz: not readable proposals .*remove it"):
        load_proposals(tmp_path / "q.npz", 3)


@pytest.mark.parametrize(
    ("option", "key"),
    [("--model.norm=batch", "model.norm"), ("--model.norm=auto", "model.norm"), ("--train.step_shares=[1]", "train.s")],
)
def test_what_four_steps_cannot_do_is_refused(config, option, key):
    with pytest.raises(InputError, match=f"^{key}"):
        config(option)
