"""What a run will take, by its first steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

from detection.config.duration import duration
from detection.counted import counted

FIRST = 5
"""steps by which the rest is judged"""


@dataclass(frozen=True)
class Forecast:
    """steps: that are left; step, evaluation: seconds that each takes; evaluations: that are left; memory: bytes that
    the process, or its GPU, has held so far; allowed: seconds that the run may take, None where steps decide."""

    steps: int
    step: float
    evaluations: int
    evaluation: float
    memory: int
    allowed: float | None = None

    def of_all(self, steps: int) -> Forecast:
        """With the steps that were only a trial."""
        return replace(self, steps=self.steps + steps)

    @property
    def seconds(self) -> float:
        return self.steps * self.step + self.evaluations * self.evaluation

    def __str__(self) -> str:
        validations = ""
        if self.evaluations and self.evaluation:
            validations = f" and {counted(self.evaluations, 'validation')} of {duration(self.evaluation)}"
        parts = f"{counted(self.steps, 'iteration')} of {self.step:.2g} s{validations}"
        memory = f", {self.memory / 2**30:.1f} GiB of memory" if self.memory else ""
        if self.allowed is not None:
            return f"forecast: about {parts} in the {duration(self.allowed)} given{memory}"
        return f"forecast: about {duration(self.seconds)} for {parts}{memory}"
