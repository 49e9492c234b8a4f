"""How long a run is: so many steps, or so much time, of which the number of steps follows.

The share of the run that is done decides the learning rate. Between two plans it is a function of the step alone, so
that a resumed run goes on as the checkpoint says; by time, plans are made at fixed steps from what the clock has shown.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from detection import parallel

UNKNOWN = 1 << 31
"""Steps of a run by time before its first plan."""

FIRST_PLAN, PLAN_EVERY = 5, 10
"""Steps after which a run by time plans how many it has, first and then again and again."""

UNTYPICAL = 2
"""First steps of a process that its pace leaves out: they start loaders and fill caches."""

EVALUATIONS = 10
"""of a run by time, at most, where nobody says how often"""

EVALUATING = 0.15
"""share of the time that these evaluations may take, beside the last one"""


class Length:
    """total: steps. seconds: that the run may take, evaluations included, None where steps decide; clock: seconds.

    The share of the run rises in a straight line from `done` at step `begin` to 1 at `total`; what moves the end starts
    a new line where the old one is, so that the rate never jumps. closing: the end is near and stays where it is;
    stretched: a resumed run was given another time; every: steps between evaluations, as far as time decides.
    """

    def __init__(
        self, total: int = UNKNOWN, seconds: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total, self.seconds, self.clock = total, seconds, clock
        self.begin, self.done = 0, 0.0
        self.closing = self.stretched = False
        self.every: int | None = None
        self.pace = Pace(clock)

    @property
    def limit(self) -> int:
        """Steps beyond which no plan goes."""
        return self.total if self.seconds is None else UNKNOWN

    def share(self, step: int) -> float:
        """Of the run, before `step`."""
        if self.total <= self.begin:
            return 1.0
        return min(self.done + (1 - self.done) * (step - self.begin) / (self.total - self.begin), 1.0)

    def step_at(self, share: float) -> int:
        """The step at which this share is done."""
        if self.done >= 1:
            return self.begin
        return self.begin + round((share - self.done) / (1 - self.done) * (self.total - self.begin))

    def evaluates_at(self, step: int, given: int | None) -> bool:
        """Whether an evaluation is due after `step` steps: at the end, and every so many, `given` where they are. One
        that the clock has placed shortly before the end is left to that."""
        every = given or self.every
        if step == self.total or every is None:
            return step == self.total
        return step % every == 0 and (given is not None or self.total - step >= every // 2)

    def end_at(self, step: int, total: int) -> None:
        """From `step` on, the rest of the run leads to step `total`."""
        self.done, self.begin, self.total = self.share(step), step, max(total, step)

    def close(self, step: int, steps: int) -> None:
        """Let the run end within `steps` from here, and stay so."""
        self.closing = True
        self.end_at(step, min(step + steps, self.total))

    def stretch(self, step: int, steps_per_epoch: int, every: int | None = None) -> None:
        """Go on at `step` with another time than before: the share is what the new one makes of the time spent."""
        assert self.seconds is not None
        done = min(self.share(step), self.pace.spent() / self.seconds)
        self.begin, self.done, self.total = step, parallel.from_first(done), step + 1
        self.plan(step, steps_per_epoch, every)

    def plans_at(self, step: int) -> bool:
        """Whether a run by time looks at the clock after `step` steps."""
        return self.seconds is not None and not self.closing and (step == FIRST_PLAN or step % PLAN_EVERY == 0)

    def plan(self, step: int, steps_per_epoch: int, every: int | None = None) -> None:
        """Set the number of steps by the time that is left and what steps and evaluations take; every: steps between
        evaluations, as far as they are given. Every rank must call it, and follows the first."""
        assert self.seconds is not None
        pace = self.pace
        left, each = self.seconds - pace.spent() - pace.evaluation, max(pace.step, 1e-6)
        if every is None and self.every is None:
            steps = (left - (EVALUATIONS - 1) * pace.evaluation) / each
            dear = pace.evaluation / each / EVALUATING  # where fewer would do, as while a young detector is slow
            self.every = max(steps_per_epoch, math.ceil(max(steps, 1) / EVALUATIONS), math.ceil(dear))
        each += pace.evaluation / (every or self.every or UNKNOWN)
        total, self.every = parallel.from_first((step + max(int(left / each), 0), self.every))
        self.end_at(step, total)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run goes on with; nothing for one whose steps its settings alone decide."""
        if self.seconds is None and not self.closing:
            return {}
        line = {key: getattr(self, key) for key in ("total", "begin", "done", "closing", "every", "seconds")}
        return {**line, "pace": self.pace.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The line of a checkpoint; one that only time had drawn is left for steps that are now given."""
        if self.seconds is not None or state["closing"]:
            for key in ("total", "begin", "done", "closing", "every"):
                setattr(self, key, state[key])
        self.stretched = self.seconds is not None and state["seconds"] != self.seconds
        self.pace.load_state_dict(state["pace"])


class Pace:
    """What steps and evaluations take, in seconds. evaluation: the last one, or what is expected of one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.evaluation = 0.0
        self._seen, self._first = 0, 0.0
        self._steps, self._seconds = 0, 0.0
        self._before, self._began = 0.0, clock()

    @property
    def step(self) -> float:
        """Mean over the steps, but for the first ones of each process where there are others."""
        return self._seconds / self._steps if self._steps else self._first

    def start(self) -> None:
        """The time begins now: before the first step of this process."""
        self._began, self._seen = self.clock(), 0

    def stepped(self, seconds: float) -> None:
        """A step has taken so long."""
        self._seen += 1
        if self._seen > UNTYPICAL:
            self._steps += 1
            self._seconds += seconds
        else:
            self._first = seconds

    def spent(self) -> float:
        """By all processes of the run, one after the other."""
        return self._before + self.clock() - self._began

    def state_dict(self) -> dict[str, Any]:
        values = {"evaluation": self.evaluation, "steps": self._steps, "seconds": self._seconds}
        return {**values, "spent": self.spent()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.evaluation, self._steps, self._seconds = state["evaluation"], state["steps"], state["seconds"]
        self._before, self._began = state["spent"], self.clock()
