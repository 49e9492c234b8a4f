"""A detector, as programs have it, and a photo."""

import pytest

import detection


@pytest.fixture(scope="session")
def photo(shapes):
    return shapes / "val" / "000001.jpg"


@pytest.fixture(scope="session")
def detector(trained):
    return detection.load(trained / "best.pt", device="cpu")
