"""Runs `frcnn` in several processes that are forked from this one, which so imports torch once.

stdin: JSON list of jobs {"name", "world", "arguments", "kill": seconds or absent}; `kill`: how long the last rank lives
once `last.pt` is in its `--output`. stdout: for each job the status of every rank, what all wrote to stderr and to
stdout, and the seconds from the kill to the end. Each job has a folder NAME, which is where it runs.
"""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import torch
from torch.distributed import TCPStore

from detection.cli.main import main


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(job, rank, port):
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.chdir(job["name"])
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        if job["world"] > 1:
            ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": job["world"], "MASTER_PORT": port}
            os.environ.update({k: str(v) for k, v in ranks.items()}, MASTER_ADDR="127.0.0.1")
            # This process holds the store, as torchrun does.
            os.environ |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
            os.environ["TORCHELASTIC_RUN_ID"] = job["name"]
        status = main(job["arguments"])
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(status)


def run(job):
    os.mkdir(job["name"])
    port = free_port()
    children = [start(job, rank, port) for rank in range(job["world"])]
    store = TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False) if job["world"] > 1 else None
    began = time.monotonic()
    if "kill" in job:
        output = next(a.split("=")[1] for a in job["arguments"] if a.startswith("--output="))
        while not (Path(job["name"]) / output / "last.pt").exists() and time.monotonic() - began < 60:
            time.sleep(0.01)
        time.sleep(job["kill"])
        os.kill(children[-1], signal.SIGKILL)
        began = time.monotonic()
    status = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    del store
    said = {name: (Path(job["name"]) / name).read_text() for name in ("stdout", "stderr")}
    return {"status": status, "seconds": time.monotonic() - began, **said}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps({job["name"]: run(job) for job in json.load(sys.stdin)}))
