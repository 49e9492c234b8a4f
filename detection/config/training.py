"""Settings of the training loop, whatever is learned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass
class TrainConfig:
    """What every training has: optimisation, and how often it is looked at."""

    batch: int = 16
    """images an optimiser step sees, over all processes and accumulation steps"""
    accumulate: int = 1
    """forward and backward passes an optimiser step is split into"""
    iterations: int | None = None
    """optimiser steps; either this or `epochs`"""
    epochs: float | None = None
    lr: float = 0.02
    """learning rate at this batch size"""
    momentum: float = 0.9
    weight_decay: float = 1e-4
    norm_decay: float = 0.0
    """weight decay of norm layers' parameters"""
    bias_decay: float | None = None
    """weight decay of biases; default as `weight_decay`"""
    schedule: Literal["step", "cosine", "plateau"] = "step"
    """the rate drops after given shares of the run, follows half a cosine, or drops when evaluations stop improving"""
    steps: list[float] = field(default_factory=lambda: [2 / 3, 8 / 9])
    """shares of the run after which the rate drops"""
    plateau: int = 3
    """evaluations without improvement before a drop (schedule plateau)"""
    gamma: float = 0.1
    """factor of each drop"""
    warmup: int = 1000
    """iterations of linear warm-up; cut to a quarter of a short run"""
    warmup_factor: float = 0.001
    """rate at the first iteration, as a share of `lr`"""
    clip: float | None = None
    """largest gradient norm"""
    skip_nonfinite: int = 0
    """steps of the whole run whose loss or gradient is not finite that are left out; one more stops it"""
    amp: Literal["off", "bf16", "fp16"] = "off"
    """mixed precision: products in bf16 (on GPUs from Ampere on) or in fp16 with a scaled loss"""
    tf32: bool = False
    """float32 products on NVIDIA GPUs keep 10 bits of the mantissa (TensorFloat-32): several times as fast"""
    compile: bool = False
    """the network through `torch.compile`: minutes at the start, then faster steps on most GPUs"""
    ema: float | None = None
    """decay of averaged weights, such as 0.999; they are then what is evaluated and kept as best"""
    evaluate_every: int | None = None
    """iterations between evaluations; default once an epoch, at most 20 times a run"""
    log_every: int = 20
    """iterations between log lines"""
    checkpoint_every: int | None = None
    """iterations between checkpoints; default with each evaluation"""
    patience: int | None = None
    """evaluations without improvement before stopping"""
