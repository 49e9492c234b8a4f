"""Settings of the training loop, whatever is learned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from detection.config.ranges import ranged


@dataclass
class TrainConfig:
    """What every training has: optimisation, and how often it is looked at."""

    batch: int = ranged(16, "[1, inf)")
    """images an optimiser step sees, over all processes and accumulation steps"""
    accumulate: int = ranged(1, "[1, inf)")
    """forward and backward passes an optimiser step is split into"""
    iterations: int | None = ranged(None, "[1, inf)")
    """optimiser steps; one of this, `epochs` and `time`"""
    epochs: float | None = ranged(None, "(0, inf)")
    """passes over the training split; one of this, `iterations` and `time`"""
    time: str | None = None
    """how long the run may take, validation included, such as 2h, 90m or 1h30m: the rate follows the share of the time
    and the run ends by itself; one of this, `iterations` and `epochs`"""
    lr: float = ranged(0.02, "(0, inf)")
    """learning rate at this batch size"""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """stochastic gradient descent with momentum, or AdamW (Loshchilov and Hutter 2019), which wants a rate some fifty
    times smaller and a weight decay near 0.05"""
    momentum: float = ranged(0.9, "[0, 1)")
    """momentum of stochastic gradient descent (optimizer sgd)"""
    weight_decay: float = ranged(1e-4, "[0, inf)")
    """factor of the weights that is added to their gradients, an L2 penalty; with adamw, of their own shrinking"""
    norm_decay: float = ranged(0.0, "[0, inf)")
    """weight decay of norm layers' parameters"""
    bias_decay: float | None = ranged(None, "[0, inf)")
    """weight decay of biases; default as `weight_decay`"""
    bias_lr: float = ranged(1.0, "(0, inf)")
    """learning rate of biases, as a multiple of that of the weights; 2 in the authors' code of Faster R-CNN"""
    schedule: Literal["step", "cosine", "plateau"] = "step"
    """the rate drops after given shares of the run, follows half a cosine, or drops when evaluations stop improving"""
    steps: list[float] = ranged([2 / 3, 8 / 9], "(0, 1)")
    """shares of the run after which the rate drops"""
    plateau: int = ranged(3, "[1, inf)")
    """evaluations without improvement before a drop (schedule plateau)"""
    gamma: float = ranged(0.1, "(0, 1]")
    """factor of each drop"""
    warmup: int = ranged(1000, "[0, inf)")
    """iterations of linear warm-up; cut to a quarter of a short run"""
    warmup_factor: float = ranged(0.001, "[0, inf)")
    """rate at the first iteration, as a share of `lr`"""
    clip: float | None = ranged(None, "(0, inf)")
    """largest gradient norm"""
    skip_nonfinite: int = ranged(0, "[0, inf)")
    """steps of the whole run whose loss or gradient is not finite that are left out; one more stops it"""
    amp: Literal["off", "bf16", "fp16"] = "off"
    """mixed precision: products in bf16 (on GPUs from Ampere on) or in fp16 with a scaled loss"""
    tf32: bool = False
    """float32 products on NVIDIA GPUs keep 10 bits of the mantissa (TensorFloat-32): several times as fast"""
    compile: bool = False
    """the network through `torch.compile`: minutes at the start, then faster steps on most GPUs"""
    ema: float | None = ranged(None, "(0, 1)")
    """decay of averaged weights, such as 0.999; they are then what is evaluated and kept as best"""
    evaluate_every: int | None = ranged(None, "[1, inf)")
    """iterations between evaluations; default once an epoch, at most 20 times a run"""
    log_every: int = ranged(20, "[1, inf)")
    """iterations between log lines"""
    checkpoint_every: int | None = ranged(None, "[1, inf)")
    """iterations between checkpoints; default with each evaluation"""
    patience: int | None = ranged(None, "[1, inf)")
    """evaluations without improvement before stopping; with schedule cosine the rate falls to zero first,
    until the next one"""
    trackers: list[Literal["wandb", "mlflow", "clearml", "comet"]] = field(default_factory=list)
    """services that are told what TensorBoard is told: Weights & Biases, MLflow, ClearML, Comet"""


def evaluated_often(train: TrainConfig) -> bool:
    """Whether `best.pt` is the best of several evaluations, as far as the settings alone can tell."""
    if train.evaluate_every is not None:
        return train.iterations is not None and train.evaluate_every < train.iterations
    return train.time is not None or (train.epochs or 1) > 1
