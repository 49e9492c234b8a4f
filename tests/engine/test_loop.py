"""The training loop on a toy task: a line through points."""

import os
import signal

import pytest
import torch
from torch import nn

from detection.engine.callback import Callback
from detection.engine.ema import AveragedModel
from detection.engine.learning_rate import LearningRate
from detection.engine.length import Length
from detection.engine.loop import Loop
from detection.engine.loop_settings import LoopSettings
from detection.engine.optimizer import build_optimizer
from detection.engine.signals import Interrupted
from detection.engine.state import TrainingState
from detection.engine.trainable import Evaluation, StepLosses
from detection.errors import InputError


class Toy:
    """Squared error of y = 3 x; `metrics`: what each evaluation finds, one after the other."""

    def __init__(self, metrics=()):
        self.metrics = list(metrics)
        self.types = set()

    def losses(self, model, batch):
        y = model(batch)
        self.types.add(y.dtype)
        losses = {"error": ((y.float() - 3 * batch) ** 2).mean(), "none": y.new_zeros((), dtype=torch.float32)}
        return StepLosses(losses, len(batch))

    def evaluate(self, model, iteration):
        return Evaluation({"AP": self.metrics.pop(0)} if self.metrics else {})

    def evaluation_seconds(self, model):
        return 0.0


def loop_of(task=None, average=False, rate=0.1, kind="step", length=None, told=None, **changes):
    """The loop and the list of what it saved, (name, iteration)."""
    torch.manual_seed(0)
    model, saved = nn.Linear(1, 1), []
    settings = {"total": 6, "splits": 1, "seed": 0, "clip": None, "amp": "off", "log_every": 2}
    settings |= {"evaluate_every": 2, "checkpoint_every": 2, "metric": "AP", "patience": None} | changes
    length = length or Length(settings["total"])
    del settings["total"]
    optimizer = torch.optim.SGD([{"params": list(model.parameters()), "scale": 1.0}], lr=rate)
    copy = AveragedModel(model, 0.5) if average else None
    state = TrainingState(model, optimizer, LearningRate(rate, length, kind), copy)
    save = lambda name, state: saved.append((name, state.progress.iteration))  # noqa: E731
    loop = Loop(state, task or Toy(), LoopSettings(**settings), save, told or Callback())
    return loop, saved


def batches(parts=1):
    """Six batches of 4 numbers, each in `parts`."""
    generator = torch.Generator().manual_seed(1)
    for batch in torch.randn(6, 4, 1, generator=generator):
        yield from batch.chunk(parts)


def test_accumulated_parts_equal_one_large_batch():
    whole, _ = loop_of(splits=1)
    split, _ = loop_of(splits=2)
    whole.run(batches())
    split.run(batches(2))
    torch.testing.assert_close(split.model.weight, whole.model.weight)
    assert abs(whole.model.weight.item() - 3) < 1.5, "it learns"


def test_a_group_learns_at_its_multiple_of_the_rate():
    loop, _ = loop_of(rate=0.1)
    (group,) = loop.state.optimizer.param_groups
    group["scale"] = 2.0
    first = loop.model.weight.detach().clone()
    loop.run(batches())
    twice, _ = loop_of(rate=0.2)
    twice.run(batches())
    assert not torch.equal(loop.model.weight, first)
    torch.testing.assert_close(loop.model.weight, twice.model.weight)


def test_the_best_is_saved_when_it_is_better_and_the_last_always():
    loop, saved = loop_of(Toy([0.2, 0.5, 0.4]))
    loop.run(batches())
    assert saved == [("last", 2), ("best", 2), ("last", 4), ("best", 4), ("last", 6)]
    assert loop.state.progress.best == 0.5 and loop.state.progress.metrics == {"AP": 0.4}


def test_a_loss_is_better_when_lower():
    task = Toy()
    losses = [0.5, 0.2, 0.4]
    task.evaluate = lambda model, iteration: Evaluation({"loss": losses.pop(0)})
    loop, saved = loop_of(task, metric="loss")
    loop.run(batches())
    assert [i for name, i in saved if name == "best"] == [2, 4] and loop.state.progress.best == 0.2


def test_without_validation_the_newest_is_the_best():
    loop, saved = loop_of()
    loop.run(batches())
    assert [i for name, i in saved if name == "best"] == [2, 4, 6]


def test_patience_ends_the_run():
    loop, saved = loop_of(Toy([0.3, 0.2, 0.3, 0.9]), evaluate_every=1, patience=2)
    loop.run(batches())
    assert loop.state.progress.iteration == 3 and saved[-1] == ("last", 3)
    count = len(saved)
    loop.run(batches())
    assert loop.state.progress.iteration == 3 and len(saved) == count, "resumed, it has still ended"


class Told(Callback):
    def __init__(self):
        self.lines = []

    def on_message(self, text):
        self.lines.append(text)


def many():
    while True:
        yield from batches()


def test_patience_lets_a_cosine_fall_to_its_end_before_it_ends_the_run():
    told = Told()
    settings = {"total": 100, "evaluate_every": 4, "checkpoint_every": 1, "patience": 2, "kind": "cosine"}
    loop, saved = loop_of(Toy([0.3, 0.2, 0.1, 0.2, 0.2, 0.2]), told=told, **settings)
    rates = []
    step = loop._step
    loop._step = lambda batches: (rates.append(loop.state.rate(loop.state.progress.iteration)), step(batches))
    loop.run(many())
    assert loop.state.progress.iteration == 16 and saved[-1] == ("last", 16)
    assert loop.state.rate(16) == 0 and all(a > b for a, b in zip(rates, rates[1:]))
    assert rates[11] > 0.9 * rates[0] and rates[15] < 0.2 * rates[0]
    assert any("has not improved in 2 evaluations: the rate falls to zero within 4 iterations" in x for x in told.lines)
    again, _ = loop_of(**settings)
    again.state.load_state_dict(loop.state.state_dict(), 14, {})
    assert [again.state.rate(i) for i in range(14, 17)] == [loop.state.rate(i) for i in range(14, 17)]


def test_the_first_steps_forecast_the_rest():
    told, task = Told(), Toy([0.1] * 99)
    task.evaluation_seconds = lambda model: 30.0
    loop, _ = loop_of(task, told=told, total=95, evaluate_every=30, checkpoint_every=100, log_every=100)
    loop.run(many())
    line = next(line for line in told.lines if line.startswith("forecast"))
    assert "for 90 iterations of " in line and "and 3 validations of 30 s" in line and "GiB of memory" in line
    assert line.startswith("forecast: about 90 s for")


def test_a_rehearsal_takes_the_first_steps_and_saves_nothing():
    loop, saved = loop_of(total=50, evaluate_every=1, checkpoint_every=1)
    forecast = loop.rehearse(many())
    assert loop.state.progress.iteration == 5 and forecast.steps == 45 and not saved


def test_a_run_by_time_ends_by_the_clock_with_its_last_evaluation():
    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    clock, task = Clock(), Toy([0.1] * 99)
    length = Length(seconds=100.0, clock=clock)
    loop, saved = loop_of(task, kind="cosine", length=length, evaluate_every=None, checkpoint_every=None)
    step = loop._step

    def slow(batches):
        clock.now += 0.5
        step(batches)

    loop._step = slow
    loop.run(many())
    done = loop.state.progress.iteration
    assert 195 <= done <= 200 and saved[-1] == ("last", done) and loop.state.rate(done) == 0
    assert length.every == 20 and [i for name, i in saved if name == "last"][:3] == [20, 40, 60]


def test_a_loss_that_is_not_finite_is_refused_with_its_iteration_and_not_saved():
    poisoned = [torch.ones(4, 1), torch.ones(4, 1), torch.full((4, 1), torch.nan), *[torch.ones(4, 1)] * 3]
    loop, saved = loop_of(log_every=100)
    with pytest.raises(InputError, match=r"iteration 3: loss, error, gradient not finite \(images 2.jpg\); train.skip"):
        loop.run(iter(poisoned), lambda iteration: [f"{iteration}.jpg"])
    assert saved == [("last", 2), ("best", 2)] and loop.model.weight.isfinite().all()


def poisoned_at(*steps):
    for i, batch in enumerate(batches()):
        yield batch * torch.nan if i in steps else batch


@pytest.mark.parametrize("fused", [False, True])
def test_steps_that_are_not_finite_are_left_out_up_to_a_number(fused, monkeypatch):
    """Fused, the step is left out by the device, which nobody asks, as on a GPU."""
    loop, saved = loop_of(skip_nonfinite=2)
    loop.state.optimizer = build_optimizer(loop.model, 0.1, 0.9, 0, 0, 0, fused=fused)
    loop.run(poisoned_at(0, 3))
    spared, _ = loop_of()
    spared.state.optimizer = build_optimizer(spared.model, 0.1, 0.9, 0, 0, 0, fused=fused)
    step = Loop._step
    skipping = lambda loop, batches: next(batches) if loop.state.progress.iteration in (0, 3) else step(loop, batches)  # noqa: E731
    monkeypatch.setattr(Loop, "_step", skipping)
    spared.run(batches())
    assert loop.state.progress.skipped == 2 and saved[-2:] == [("last", 6), ("best", 6)]
    torch.testing.assert_close(loop.model.weight, spared.model.weight, rtol=0, atol=0)


def test_more_of_them_than_allowed_stop_the_run():
    loop, saved = loop_of(skip_nonfinite=1)
    with pytest.raises(InputError, match="iteration 4: loss, error, gradient not finite; train.skip_nonf"):
        loop.run(poisoned_at(1, 3))
    assert saved[-1] == ("best", 2)


def test_weights_that_are_not_finite_are_not_saved():
    loop, saved = loop_of(rate=1e38, total=2)
    with pytest.raises(InputError, match="iteration 2"):
        loop.run(batches())
    assert not saved


def test_a_second_signal_acts_at_once():
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a background job may have been told to ignore it

    def stopping():
        for batch in batches():
            os.kill(os.getpid(), signal.SIGINT)
            yield batch
            os.kill(os.getpid(), signal.SIGINT)

    loop, saved = loop_of(splits=2)
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run(stopping())
    finally:
        signal.signal(signal.SIGINT, before)
    assert not saved


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_step_finish_saves_and_says_so(number):
    def stopping():
        for i, batch in enumerate(batches()):
            if i == 2:
                os.kill(os.getpid(), number)
            yield batch

    before = signal.getsignal(number)
    loop, saved = loop_of()
    with pytest.raises(Interrupted) as stop:
        loop.run(stopping())
    assert stop.value.signal == number and saved[-1] == ("last", 3)
    assert signal.getsignal(number) == before


def test_bf16_computes_in_bf16_and_keeps_float_weights():
    task = Toy()
    loop, _ = loop_of(task, amp="bf16")
    loop.run(batches())
    assert task.types == {torch.bfloat16} and loop.model.weight.dtype == torch.float32
    assert abs(loop.model.weight.item() - 3) < 1.5


def test_clipping_bounds_the_step():
    loop, _ = loop_of(clip=1e-3, rate=1.0, total=1)
    before = [p.detach().clone() for p in loop.model.parameters()]
    loop.run(batches())
    moved = torch.cat([(p - b).flatten() for p, b in zip(loop.model.parameters(), before)])
    torch.testing.assert_close(moved.norm().item(), 1e-3, rtol=1e-3, atol=0)


def test_averaged_weights_are_what_counts():
    loop, _ = loop_of(average=True)
    loop.run(batches())
    assert loop.state.evaluated_model() is loop.state.average.module
    assert not torch.equal(loop.state.evaluated_model().weight, loop.model.weight)
