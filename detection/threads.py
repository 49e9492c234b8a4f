"""How threads wait for each other between two operations, which must be said before torch is imported."""

from __future__ import annotations

import os

POLICIES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Environment variables by which a user may have said so; the last two are GNU's and Intel's."""


def wait_asleep() -> None:
    """Let waiting threads sleep instead of spinning, unless the user has chosen.

    A thread that spins keeps the core from whoever else could work: two trainings side by side on two cores of an AMD
    EPYC took 13.8 s a step, and take 3.0 s asleep; one alone takes 1.65 s either way.
    """
    if not any(name in os.environ for name in POLICIES):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
