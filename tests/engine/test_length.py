"""Runs that end by the clock: how many steps they plan, the share that decides the rate, and where they go on."""

from __future__ import annotations

import pytest

from detection.config.duration import duration, seconds_of
from detection.engine.learning_rate import LearningRate
from detection.engine.length import UNKNOWN, Length
from detection.errors import InputError


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def walk(length: Length, clock: Clock, start: int, stop: int, pace, evaluation: float = 0.0) -> list[float]:
    """The shares of the steps from `start` on, of which each takes pace(step) seconds."""
    shares = []
    length.pace.evaluation = evaluation
    step = start
    while step < min(length.total, stop):
        shares.append(length.share(step))
        clock.now += pace(step)
        length.pace.stepped(pace(step))
        step += 1
        if length.plans_at(step):
            length.plan(step, steps_per_epoch=1)
        if step == length.total or (length.every and step % length.every == 0):
            clock.now += evaluation
    return shares


@pytest.mark.parametrize(
    ("pace", "evaluation"),
    [
        (lambda step: 1.0, 0.0),
        (lambda step: 1.0, 7.0),
        (lambda step: 30.0 if step == 0 else 1.0, 5.0),  # the first one compiles
        (lambda step: 1.0 if step < 300 else 3.0, 5.0),  # others come to the machine
    ],
)
def test_a_run_by_time_ends_in_time_with_a_finished_schedule(pace, evaluation) -> None:
    clock = Clock()
    length = Length(seconds=1000.0, clock=clock)
    shares = walk(length, clock, 0, UNKNOWN, pace, evaluation)
    assert 950 < clock.now < 1030
    assert shares == sorted(shares) and shares[-1] > 0.97 and max(b - a for a, b in zip(shares, shares[1:])) < 0.02
    rate = LearningRate(1.0, length, "cosine")
    assert rate(length.total) == 0.0


def test_evaluations_of_a_run_by_time_are_about_ten_and_fixed_early() -> None:
    clock = Clock()
    length = Length(seconds=1000.0, clock=clock)
    walk(length, clock, 0, 6, lambda step: 1.0, 5.0)
    every = length.every
    assert every is not None and 85 < every < 105
    walk(length, clock, 6, UNKNOWN, lambda step: 2.0, 5.0)
    assert length.every == every


def test_dear_evaluations_become_fewer() -> None:
    clock = Clock()
    length = Length(seconds=1000.0, clock=clock)
    walk(length, clock, 0, 6, lambda step: 1.0, 45.0)
    assert length.every == 300


def test_an_evaluation_shortly_before_the_end_is_left_to_the_end() -> None:
    length = Length(104, seconds=9.0)
    length.every = 10
    assert [step for step in range(80, 105) if length.evaluates_at(step, None)] == [80, 90, 104]
    assert [step for step in range(80, 105) if length.evaluates_at(step, 10)] == [80, 90, 100, 104]
    length.every = None
    assert [step for step in range(80, 105) if length.evaluates_at(step, None)] == [104]


def test_given_evaluations_are_those_that_the_plan_counts() -> None:
    clock = Clock()
    length = Length(seconds=100.0, clock=clock)
    length.pace.evaluation = 20.0
    for _ in range(5):
        clock.now += 1.0
        length.pace.stepped(1.0)
    length.plan(5, 1, every=10**6)
    assert length.total in (79, 80) and length.every is None
    length.plan(5, 1, every=20)
    assert length.total == 5 + 37


def test_a_resumed_run_by_time_goes_on_as_if_nothing_had_happened() -> None:
    pace = lambda step: 0.5 + 0.25 * (step % 3)  # noqa: E731
    clock = Clock()
    whole = Length(seconds=300.0, clock=clock)
    wanted = walk(whole, clock, 0, UNKNOWN, pace)
    clock = Clock()
    first = Length(seconds=300.0, clock=clock)
    shares = walk(first, clock, 0, 100, pace)
    clock.now += 1e4  # nobody works on it: this time does not count
    state = {**first.state_dict(), "pace": {**first.pace.state_dict(), "spent": first.pace.spent() - 1e4}}
    second = Length(seconds=300.0, clock=clock)
    second.load_state_dict(state)
    assert not second.stretched
    shares += walk(second, clock, 100, UNKNOWN, pace)
    assert len(shares) == pytest.approx(len(wanted), abs=3) and shares[:110] == wanted[:110]
    assert shares[-1] == pytest.approx(wanted[-1], abs=0.02)


def test_a_checkpoint_given_more_time_plans_again() -> None:
    clock = Clock()
    length = Length(seconds=50.0, clock=clock)
    walk(length, clock, 0, UNKNOWN, lambda step: 1.0)
    longer = Length(seconds=100.0, clock=clock)
    longer.load_state_dict(length.state_dict())
    assert longer.stretched
    step = length.total
    longer.stretch(step, 1)
    assert longer.total == pytest.approx(100, abs=3) and longer.limit == UNKNOWN
    assert longer.share(step) == pytest.approx(0.5, abs=0.02) and longer.share(longer.total) == 1


def test_steps_and_shares_of_a_plain_run_are_those_of_arithmetic() -> None:
    length = Length(90)
    assert [length.share(step) for step in (0, 45, 90, 99)] == [0, 0.5, 1, 1]
    assert length.step_at(2 / 3) == 60 and length.state_dict() == {}
    length.close(45, 10)
    assert length.total == 55 and length.share(45) == 0.5 and length.share(50) == 0.75 and length.state_dict()


def test_times_are_read_as_one_types_them() -> None:
    assert [seconds_of(text, "t") for text in ("2h", "90m", "1h30m", "45s", "0.5h")] == [7200, 5400, 5400, 45, 1800]
    for wrong in ("2", "", "h", "2x", "-1h", "0s", "1h nonsense"):
        with pytest.raises(InputError, match="train.time: .* is not a time; write it as 2h"):
            seconds_of(wrong, "train.time")
    assert [duration(s) for s in (0.123, 45.2, 1380, 7800)] == ["0.12 s", "45 s", "23 min", "2 h 10 min"]
