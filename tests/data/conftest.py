from collections.abc import Iterator

import pytest
from archive_server import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found
