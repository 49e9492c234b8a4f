"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and reference fixtures beside the checkout; tests that need it skip where it is absent,
    and fail where the environment says CI."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        message = f"{folder.name}/ with the reference fixtures is not beside the checkout"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return folder
