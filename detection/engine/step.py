"""What a step of an optimiser needs beside the losses: its random numbers, and to be left out by the device itself."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer


def seed_all(seed: int, iteration: int, rank: int) -> None:
    """Whatever a step draws from, it draws the same after a restart."""
    state = [int(word) for word in np.random.SeedSequence((seed, iteration, rank)).generate_state(3)]
    torch.manual_seed(state[0])
    random.seed(state[1])
    np.random.seed(state[2])


def step_where(optimizer: Optimizer, scaler: torch.amp.GradScaler, sound: Tensor) -> None:
    """A step that the device itself leaves out where it is not `sound`: nobody waits to know."""
    if not scaler.is_enabled():  # a scaler tells the optimiser itself what overflowed
        optimizer.found_inf = (~sound).float()  # type: ignore[attr-defined]
    scaler.step(optimizer)
