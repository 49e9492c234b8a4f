"""Runs every small convolution forward and backward, in both layouts, against float64; prints those that differ.

What writes beyond its buffers aborts this process, mostly some convolutions later; so it is run in one of its own.
"""

import itertools
import sys

import torch
import torch.nn.functional as F
from torch import nn

from backbones.convolution import convolve

REPEATS = 30
"""The fault needs some passes until it meets memory that matters."""


LARGE = (2, 120, 160)
"""Images, height and width with which AVX-512's kernels of up to 15 channels fail, as they do not on small maps."""


def compare(inputs, kernel, stride, layout, frozen, size=(12, 16, 16)):
    torch.manual_seed(inputs)
    conv = nn.Conv2d(inputs, 8, kernel, stride, padding=kernel // 2, bias=False).to(memory_format=layout)
    scale, shift = (torch.rand(8) + 0.5, torch.randn(8)) if frozen else (None, None)
    images, height, width = size
    x = torch.randn(images, inputs, height, width).contiguous(memory_format=layout).requires_grad_()
    exact = [t.detach().double().contiguous().requires_grad_() for t in (x, conv.weight)]
    wanted = F.conv2d(*exact, None, stride, kernel // 2)
    if frozen:
        wanted = wanted * scale[:, None, None] + shift[:, None, None]
    grad = torch.randn_like(wanted)
    references = [wanted, *torch.autograd.grad(wanted, exact, grad)]
    for _ in range(REPEATS if kernel == 1 and stride == 2 else 1):
        ours = convolve(x, conv, scale, shift)
        found = [ours, *torch.autograd.grad(ours, (x, conv.weight), grad.float().contiguous(memory_format=layout))]
        torch.randn(100), torch.randn(1000)  # neighbours on the heap
        for mine, reference in zip(found, references):
            if not (mine.double() - reference).abs().max() <= 1e-5 * reference.abs().max():
                return False
    return True


if __name__ == "__main__":
    torch.set_num_threads(1)
    layouts = (torch.contiguous_format, torch.channels_last)
    cases = [*itertools.product(range(1, 18), (1, 3, 7), (1, 2), layouts, (False, True))]
    cases += [(inputs, 1, 2, torch.channels_last, False, LARGE) for inputs in (7, 8, 12, 15, 16)]
    wrong = [case for case in cases if not compare(*case)]
    print(torch.backends.cpu.get_cpu_capability(), *wrong, sep="\n")
    sys.exit(bool(wrong))
