"""The learning rate worked out by hand."""

import pytest

from detection.engine.learning_rate import LearningRate
from detection.engine.length import Length


def test_steps_after_their_shares():
    rate = LearningRate(0.8, Length(90), kind="step", steps=(2 / 3, 8 / 9), gamma=0.5)
    assert [rate(s) for s in (0, 59, 60, 79, 80, 89)] == [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]


def test_warmup_is_linear_from_its_factor():
    rate = LearningRate(1.0, Length(100), warmup=10, warmup_factor=0.1)
    assert [rate(s) for s in (0, 5, 10, 99)] == pytest.approx([0.1, 0.55, 1.0, 1.0])


def test_cosine_falls_to_zero_under_a_warmup_of_a_quarter_at_most():
    rate = LearningRate(2.0, Length(16), kind="cosine", warmup=8, warmup_factor=0.0)
    assert [rate(s) for s in (0, 4, 8, 12, 16, 17)] == pytest.approx([0, 1 + 2**-0.5, 1, 1 - 2**-0.5, 0, 0])


def test_a_plateau_lowers_the_rate_and_survives_a_restart():
    rate = LearningRate(1.0, Length(100), kind="plateau", gamma=0.1, plateau=2)
    for better in (True, False, True, False, False):
        assert rate(7) == 1.0
        rate.saw_evaluation(better)
    assert rate(7) == pytest.approx(0.1)
    rate.saw_evaluation(False)
    again = LearningRate(1.0, Length(100), kind="plateau", gamma=0.1, plateau=2)
    again.load_state_dict(rate.state_dict())
    again.saw_evaluation(False)
    assert again(8) == pytest.approx(0.01)


def test_the_warmup_of_110_layers_ends_when_the_training_error_is_low_enough():
    rate = LearningRate(0.1, Length(1000), steps=(0.5,), warmup_factor=0.1, warmup_error=0.8)
    for _ in range(50):
        rate.saw_error(0.9)
    assert rate.needs_error and rate(300) == pytest.approx(0.01)
    for _ in range(50):
        rate.saw_error(0.5)
    assert not rate.needs_error and rate(300) == 0.1 and rate(600) == pytest.approx(0.01)
