"""Prediction on Ray: what the ordinary engine finds, each image once, whoever is killed meanwhile."""

import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from detection.cli import predict_ray
from detection.cli.main import main
from detection.cli.predict import _detector
from detection.errors import InputError

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
STORE = 80 * 2**20


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two nodes of one worker each on this machine; the head computes nothing."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([os.getcwd(), *filter(None, sys.path)]))
        head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False}
        made = Cluster(initialize_head=True, head_node_args=head)
        made.nodes = [made.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(2)]
        ray.init(address=made.address, log_to_driver=False, logging_level="error")
        yield made
        ray.shutdown()
        made.shutdown()


@pytest.fixture
def predict(trained, shapes, tmp_path):
    def run(name, *options, images=()):
        files = [str(shapes / "train"), *images, f"--checkpoint={trained / 'best.pt'}", f"--output={tmp_path / name}"]
        return main(["predict", *files, "--score=0.05", "--device=cpu", *options])

    return run


def dying(folder):
    """A loader of detectors that kill their process, once each, before the first two batches."""

    def load(args, device):
        detector = _detector(args, device)

        class Dying:
            prepare, grey_bits, class_names, device = (
                detector.prepare,
                detector.grey_bits,
                detector.class_names,
                detector.device,
            )

            def detect(self, images):
                with (folder / "seen").open("a") as file:
                    file.write("x")
                if len((folder / "seen").read_text()) <= 2:
                    os._exit(1)
                time.sleep(0.5)
                return detector.detect(images)

        return Dying()

    return load


def same(one, other):
    assert sorted(p.name for p in one.iterdir()) == sorted(p.name for p in other.iterdir())
    for path in one.iterdir():
        assert (other / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_killed_workers_and_a_lost_node_change_nothing_and_a_restart_repeats_nothing(
    cluster, predict, tmp_path, monkeypatch, capsys
):
    assert predict("plain") == 0
    real = predict_ray.predict_on_ray
    written = []

    def disturbed(args, load, batches, names, write):
        def stop(paths, *rest):
            write(paths, *rest)
            written.extend(paths)
            if len(written) == 1:
                cluster.remove_node(cluster.nodes[0], allow_graceful=False)
            if len(written) == 3:
                raise KeyboardInterrupt  # the driver

        real(args, dying(tmp_path), batches, names, stop)

    with monkeypatch.context() as patch:
        patch.setattr(predict_ray, "predict_on_ray", disturbed)
        assert predict("out", "--engine=ray") == 130
    assert not (tmp_path / "out/predictions.json").exists() and len(set(written)) == 3
    assert len((tmp_path / "seen").read_text()) >= 5  # two killed with their image, which was seen again

    def counted(args, load, batches, names, write):
        assert not {path for batch in batches for path in batch} & set(written)
        real(args, load, batches, names, write)

    monkeypatch.setattr(predict_ray, "predict_on_ray", counted)
    capsys.readouterr()
    assert predict("out", "--engine=ray", "--resume") == 0
    assert "resuming: 3 of 6 images are done" in capsys.readouterr().out
    same(tmp_path / "plain", tmp_path / "out")
    assert len(json.loads((tmp_path / "out/predictions.json").read_text())) == 6


@pytest.mark.slow
def test_what_a_worker_raises_is_one_line(cluster, predict, tmp_path, shapes, capsys):
    (tmp_path / "bad.png").write_bytes(b"no image")
    assert predict("out", "--engine=ray", images=[str(tmp_path / "bad.png")]) == 2
    error = capsys.readouterr().err
    assert "bad.png" in error.splitlines()[-1] and "Traceback" not in error


class Silent:
    """In Ray's place: workers that are ready at once and die of every batch, after a wait in vain."""

    def __init__(self):
        self.exceptions, self.waits = ray.exceptions, 0

    def cluster_resources(self):
        return {"CPU": 2.0}

    def remote(self, **needs):
        def method(name):
            return SimpleNamespace(remote=lambda *given: (name, object()))

        worker = SimpleNamespace(ready=method("ready"), predict=method("predict"))
        return lambda made: SimpleNamespace(remote=lambda *given: worker)

    def wait(self, tasks, num_returns, timeout):
        self.waits += 1
        return (tasks[:1] if self.waits > 1 else []), tasks

    def get(self, task):
        if task[0] == "predict":
            raise ray.exceptions.WorkerCrashedError()

    def kill(self, worker):
        pass


def test_a_full_cluster_is_told_and_an_image_that_kills_three_workers_ends_it(capsys):
    crew = predict_ray._Crew(Silent(), SimpleNamespace(device="auto"), None, 1)
    path = Path("heavy.png")
    with pytest.raises(InputError, match="heavy.png: killed its workers, 3 times"):
        list(crew.answers([[path]], {path: "heavy.png"}))
    assert crew.lost == 3
    assert capsys.readouterr().out.count("waiting for the cluster to have room for a worker") == 1


@pytest.mark.parametrize(
    "images, options, word", [(["a.mp4"], [], "is a video"), ([], ["--processes=2"], "--processes")]
)
def test_what_ray_does_not_do_is_refused(predict, capsys, images, options, word):
    assert predict("out", "--engine=ray", *options, images=images) == 2
    error = capsys.readouterr().err
    assert word in error and error.count("\n") == 1


def test_without_ray_the_extra_is_named(predict, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert predict("out", "--engine=ray") == 2
    assert "frcnn-toolkit[ray]" in capsys.readouterr().err
