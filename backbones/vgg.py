"""VGG-16 (Simonyan & Zisserman 2014, configuration D) with and without norms, with the keys of torchvision's.

image    (N, 3, H, W)
conv5_3  (N, 8w, H/16, W/16)   w = width, 64 in the paper
pool5    (N, 8w, 7, 7)         whatever H and W
fc6, fc7 (N, 64w)
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from backbones.norm import conv_norm, frozen, make_norm
from backbones.prepared import PreparedConv2d

STAGES = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))
"""Per stage: channels in units of the width, and convolutions; a 2x2 max pool stands between two stages."""

POOLED = 7
"""Side of the map that fc6 takes."""


class ConvSequence(nn.Sequential):
    """Convolutions, each with the norm behind it where there is one, and what stands between them."""

    def forward(self, x: Tensor) -> Tensor:
        layers = list(self)
        for i, layer in enumerate(layers):
            if isinstance(layer, nn.Conv2d | PreparedConv2d):
                following = layers[i + 1] if i + 1 < len(layers) else None
                x = conv_norm(x, layer, following if _is_norm(following) else None)
            elif not _is_norm(layer):
                x = layer(x)
        return x


def _is_norm(layer: nn.Module | None) -> bool:
    """Whether it is a norm, of whatever kind, or the identity that is left of one folded into its convolution."""
    return not isinstance(layer, nn.Conv2d | PreparedConv2d | nn.ReLU | nn.MaxPool2d | None)


class VGG16(nn.Module):
    """VGG-16, by default without norms, as published.

    The fifth pool is RoI pooling of the whole map to 7x7, as a detector pools each of its regions (Fast R-CNN, section
    2.1). At 224 pixels it is the published 2x2 max pool. torchvision keeps that pool and averages its output to 7x7,
    so that its net takes images of any size: the same at 224 pixels, but of 56 pixels a single value would be left
    in 49 copies, and fc6 would learn nothing of where things are before a detector relies on it.

    Args:
        width: channels of conv1_x; fc6 and fc7 have 64 times as many.
        classes: outputs of fc8; None leaves it out.
        dropout: after fc6 and fc7 (0.5 in the paper and in Fast R-CNN).
        norm: a key of `NORMS`, after every convolution; None for none.
        ceil_pool: pools round the sizes of their maps up, as in Caffe.
    """

    def __init__(
        self,
        width: int = 64,
        classes: int | None = None,
        dropout: float = 0.5,
        norm: str | None = None,
        ceil_pool: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        stages: list[range] = []
        inputs = 3
        for multiple, count in STAGES:
            start = len(layers)
            for _ in range(count):
                layers.append(nn.Conv2d(inputs, multiple * width, 3, padding=1))
                if norm is not None:
                    layers.append(make_norm(norm, multiple * width))
                layers.append(nn.ReLU(inplace=True))
                inputs = multiple * width
            stages.append(range(start, len(layers)))
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=ceil_pool))
        self.stages = tuple(stages)
        self.features = ConvSequence(*layers[:-1])  # the last pool is `forward`'s, or a detector's
        hidden = 64 * width
        fc8 = [nn.Linear(hidden, classes)] if classes is not None else []
        self.classifier = nn.Sequential(
            nn.Linear(8 * width * POOLED**2, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            *fc8,
        )
        self.channels = [8 * width]
        self.strides = [16]
        self.hidden = hidden
        self._initialise(classes is not None)

    def _initialise(self, classifies: bool) -> None:
        """He et al. 2015b, equation 10: variance 2 / fan-in keeps the size of the signal through all layers: the net
        learns without norms and without a shallower net to begin from. fc8 begins near zero, with the paper's 0.01.
        With torchvision's 2 / fan-out and 0.01, a net of a quarter of the width did not begin to learn 200 classes in
        1,000 iterations of 64 images; with these it did within 400."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if classifies:
            last = self.classifier[-1]
            assert isinstance(last, nn.Linear)
            nn.init.normal_(last.weight, std=0.01)

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """conv5_3 after its ReLU."""
        return [self.features(x)]

    def forward(self, x: Tensor) -> Tensor:
        """Class scores (N, classes) before the softmax; images have sides of 16 pixels or more."""
        return self.classifier(F.adaptive_max_pool2d(self.features(x), POOLED).flatten(1))

    def freeze_stages(self, last: int) -> None:
        """Freeze conv1_x to conv`last`_x; Fast R-CNN freezes the first two (section 4.5)."""
        for i in (i for stage in self.stages[:last] for i in stage):
            self.features[i] = frozen(self.features[i])

    def take_classifier(self) -> nn.Sequential:
        """Hand fc6 and fc7 over to a head that runs them once per region."""
        head = self.classifier[:6]
        self.classifier = None  # type: ignore[assignment]
        return head
