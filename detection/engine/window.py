"""Means of the losses since they were last reported, summed on the device so that no step waits for them."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from detection import parallel


class Window:
    """Losses of the steps since the last report. waited: seconds in which they waited for images."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._reset()

    def _reset(self) -> None:
        self.names: list[str] = []
        self.sum: Tensor | None = None
        self.count = torch.zeros((), device=self.device)
        self.images = 0
        self.waited = 0.0
        self.began = time.monotonic()

    def add(self, names: list[str], values: Tensor, images: int, sound: Tensor) -> None:
        """values: (n,) means of one step, in the order of `names`; left out where the step is not `sound`, a bool."""
        values = torch.where(sound, values, torch.zeros_like(values))
        self.names = names
        self.sum = values if self.sum is None else self.sum + values
        self.count = self.count + sound
        self.images += images

    def pause(self, seconds: float) -> None:
        """Leave this time out of the speed."""
        self.began += seconds

    def waiting(self) -> float:
        """Share of the time in which steps waited for images, 0 before any has."""
        return self.waited / max(time.monotonic() - self.began, 1e-9) if self.images else 0.0

    def close(self) -> tuple[dict[str, float], float]:
        """Means over the ranks since the last call, none where no step was sound, and images a second."""
        if self.sum is None:
            return {}, 0.0
        count = float(self.count)
        values = dict(zip(self.names, (parallel.mean(self.sum) / count).tolist())) if count else {}
        speed = self.images / max(time.monotonic() - self.began, 1e-9)
        self._reset()
        return values, speed

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run continues summing up from; every rank must ask, and then has the mean of all."""
        if self.sum is not None:
            self.sum = parallel.mean(self.sum)
        total = None if self.sum is None else self.sum.cpu()
        return {"names": self.names, "sum": total, "count": self.count.cpu()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._reset()
        self.names = state["names"]
        self.sum = None if state["sum"] is None else state["sum"].to(self.device)
        self.count = state["count"].to(self.device)
