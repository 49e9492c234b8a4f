"""Published errors, to stand beside one's own in a table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedError:
    """Test errors in percent: ImageNet's are of 10 crops, CIFAR-10's of the whole image.

    top5: None where the paper gives none; mean and deviation: over 5 runs, of which top1 is the best.
    """

    top1: float
    top5: float | None = None
    mean: float | None = None
    deviation: float | None = None


PAPER_ERRORS = {
    ("vgg16", "none"): PublishedError(28.07, 9.33),
    ("plain18", "none"): PublishedError(27.94),
    ("plain34", "none"): PublishedError(28.54, 10.02),
    ("resnet18", "A"): PublishedError(27.88),
    ("resnet34", "A"): PublishedError(25.03, 7.76),
    ("resnet34", "B"): PublishedError(24.52, 7.46),
    ("resnet34", "C"): PublishedError(24.19, 7.40),
    ("resnet50", "B"): PublishedError(22.85, 6.71),
    ("resnet101", "B"): PublishedError(21.75, 6.05),
    ("resnet152", "B"): PublishedError(21.43, 5.71),
    ("cifar_resnet20", "A"): PublishedError(8.75),
    ("cifar_resnet32", "A"): PublishedError(7.51),
    ("cifar_resnet44", "A"): PublishedError(7.17),
    ("cifar_resnet56", "A"): PublishedError(6.97),
    ("cifar_resnet110", "A"): PublishedError(6.43, mean=6.61, deviation=0.16),
    ("cifar_resnet1202", "A"): PublishedError(7.93),
}
"""(net, shortcut) -> its error in He et al. 2015, tables 2, 3 and 6."""

MULTI_SCALE_ERRORS = {
    ("resnet34", "B"): PublishedError(21.84, 5.71),
    ("resnet34", "C"): PublishedError(21.53, 5.60),
    ("resnet50", "B"): PublishedError(20.74, 5.25),
    ("resnet101", "B"): PublishedError(19.87, 4.60),
    ("resnet152", "B"): PublishedError(19.38, 4.49),
}
"""ImageNet's validation images at 224 to 640 pixels (table 4)."""

ENSEMBLE = "six nets at several scales have a top-5 error of 3.57 % on ImageNet's test images"
"""Table 5."""


def published_error(net: str, shortcut: str, view: str, classes: int) -> PublishedError | None:
    """What the paper has for a net of this name and shortcut in this view; None where it has nothing, or where a data
    set of so many classes is not the paper's."""
    if net.startswith("cifar_"):
        return PAPER_ERRORS.get((net, shortcut)) if (view, classes) == ("whole", 10) else None
    found = {"10-crop": PAPER_ERRORS, "multi-scale": MULTI_SCALE_ERRORS}.get(view, {})
    return found.get((net, shortcut)) if classes == 1000 else None
