"""Jobs of an experiment: many at once give what one after another gives, and none outlives the command."""

import os
import signal
import subprocess
import sys
import time
from operator import mul

import pytest

from detection.experiments.jobs import Jobs

pytestmark = pytest.mark.thorough


@pytest.mark.parametrize("count", [1, 2])
def test_results_come_in_the_order_of_the_arguments(count, tmp_path):
    with Jobs(count, tmp_path / "logs") as jobs:
        assert jobs.each(mul, [(2, 3), (4, 5), (6, 7)]) == [6, 20, 42]


def test_jobs_end_with_a_killed_command(tmp_path):
    program = (
        "import time\nfrom detection.experiments.jobs import Jobs\n"
        f"if __name__ == '__main__':\n    with Jobs(2, __import__('pathlib').Path({str(tmp_path)!r})) as jobs:\n"
        "        jobs.each(time.sleep, [(60,), (60,)])\n"
    )
    (tmp_path / "program.py").write_text(program)
    command = subprocess.Popen([sys.executable, tmp_path / "program.py"])
    logs: list[str] = []
    deadline = time.monotonic() + 60
    while len(logs) < 2 and time.monotonic() < deadline:
        logs = [path.stem for path in tmp_path.glob("*.txt")]
        time.sleep(0.1)
    time.sleep(0.5)
    command.send_signal(signal.SIGKILL)
    command.wait()
    while any(_alive(int(process)) for process in logs) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(logs) == 2 and not any(_alive(int(process)) for process in logs)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
