"""Is this GPU computed with rightly, and how fast? One page of answers in under nine minutes.

    python tools/gpu_check.py --results results/gpu                    on the first NVIDIA GPU
    python tools/gpu_check.py --device cpu --quick --results FOLDER    the same code in a minute, on small nets

Needs no data: detectors learn from the embedded dataset. Writes gpu_check.json and gpu_check.md. Exit status 1 where a
check fails: detections, losses and gradients as on the CPU with TF32 off; learning in each precision; resuming.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from gpu import learning, parity, speed
from gpu.findings import Check, Found

from detection import parallel
from detection.cli.arguments import Parser
from detection.engine.hardware import fast_half
from detection.errors import InputError
from detection.experiments.report import Report

PARTS = ("parity", "learning", "resume", "speed")


def main(arguments: list[str]) -> int:
    parser = Parser("gpu_check.py", "Parity with the CPU, learning, resuming, synchronisations and speed on a device.")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, mps or cpu")
    parser.add_argument("--quick", action="store_true", help="small nets and few steps: tries the code, not the device")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="these parts")
    parser.add_argument("--no-compiled", action="store_true", help="leave out compiled networks, which take minutes")
    parser.add_argument("--results", type=Path, default=Path("results/gpu"), help="folder for gpu_check.json and .md")
    args = parser.parse_args(arguments)
    device = parallel.choose_device(args.device)
    precisions = ["off"] + (["bf16"] if device.type == "cpu" or fast_half(device) == "bf16" else [])
    precisions += ["fp16"] if device.type == "cuda" else []

    checks: list[Check] = []
    tables: list[str] = []
    numbers: dict[str, Any] = {}
    parts: dict[str, Callable[[], Found]] = {
        "parity": lambda: parity.compare(device, args.quick),
        "learning": lambda: learning.learn(device, precisions, args.quick),
        "resume": lambda: learning.resume(device, args.quick),
        "speed": lambda: speed.measure(device, precisions, args.quick, not args.no_compiled),
    }
    for name in args.only:
        print(f"{name} ...", flush=True)
        found = parts[name]()
        checks += found.checks
        tables += [found.text] if found.text else []
        numbers[name] = found.numbers
    failed = [check for check in checks if not check.passed]
    verdict = "All checks passed." if not failed else f"Failed: {'; '.join(check.what for check in failed)}."
    lines = [f"- {'passed' if check.passed else 'FAILED'}: {check.what} ({check.measured})" for check in checks]
    text = "\n\n".join([f"{_name(device)}. {verdict}", "\n".join(lines), *tables])
    words = ["python", "tools/gpu_check.py", *arguments]
    numbers["checks"] = [vars(check) for check in checks]
    Report("gpu_check", "Check of a device", words, {"device": _name(device), **numbers}, text, {}).write(args.results)
    print(text)
    return 1 if failed else 0


def _name(device: torch.device) -> str:
    if device.type != "cuda":
        return f"Device: {device}"
    found = torch.cuda.get_device_properties(device)
    return f"Device: {found.name}, {found.total_memory / 2**30:.0f} GiB, capability {found.major}.{found.minor}"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as error:
        print(f"gpu_check.py: error: {error}", file=sys.stderr)
        sys.exit(2)
