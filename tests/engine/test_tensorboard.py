"""TensorBoard's files hold each tag and step once, however often a run was evaluated there or resumed."""

from collections import Counter

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from torch.utils.tensorboard import SummaryWriter

from detection.cli.main import main
from detection.engine.tensorboard import TensorBoard


def reports(folder):
    """How often each (tag, step) is in the event files of a run."""
    files = sorted((folder / "tensorboard").glob("events.out.tfevents.*"))
    events = [event for file in files for event in EventFileLoader(str(file)).Load()]
    return Counter((value.tag, event.step) for event in events for value in event.summary.value)


def test_a_finished_run_has_each_report_once_and_resuming_it_adds_none(tiny, shapes, tmp_path):
    # So small a rate that no evaluation is better than the first, which is evaluated again at the end.
    still = ["--train.iterations=3", "--train.evaluate_every=1", "--train.lr=1e-30", "--train.metric=AP"]
    words = ["train", *tiny, f"--data={shapes}", f"--output={tmp_path}", *still]
    assert main(words) == 0
    first = reports(tmp_path)
    assert set(first.values()) == {1} and ("detections | ground truth", 1) in first
    assert main(["train", "--resume", str(tmp_path)]) == 0
    assert reports(tmp_path) == first


def test_what_is_there_twice_is_cut_to_once(tmp_path):
    with SummaryWriter(str(tmp_path / "tensorboard")) as writer:
        for step in (1, 1, 2):
            writer.add_scalar("val/AP", 0.5, step)
    board = TensorBoard(tmp_path / "tensorboard")
    board.on_start(3, total=3)
    board.on_end()
    assert reports(tmp_path) == {("val/AP", 1): 1, ("val/AP", 2): 1}
