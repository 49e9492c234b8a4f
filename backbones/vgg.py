"""VGG-16 (Simonyan & Zisserman 2014, configuration D), with the keys of torchvision's state dict.

image    (N, 3, H, W)
conv5_3  (N, 8w, H/16, W/16)   w = width, 64 in the paper
fc6, fc7 (N, 64w)              from (N, 8w, 7, 7)
"""

from __future__ import annotations

from torch import Tensor, nn

from backbones.norm import frozen

STAGES = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))
"""Per stage: channels in units of the width, and convolutions; a 2x2 max pool follows each."""


class VGG16(nn.Module):
    """VGG-16 without batch norm.

    Args:
        width: channels of conv1_x; fc6 and fc7 have 64 times as many.
        classes: outputs of fc8; None leaves it out.
        dropout: after fc6 and fc7 (0.5 in the paper and in Fast R-CNN).
    """

    def __init__(self, width: int = 64, classes: int | None = None, dropout: float = 0.5) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        ends = []
        inputs = 3
        for multiple, count in STAGES:
            for _ in range(count):
                layers += [nn.Conv2d(inputs, multiple * width, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = multiple * width
            layers.append(nn.MaxPool2d(2, 2))
            ends.append(len(layers))
        self.stage_ends = tuple(ends)
        self.features = nn.Sequential(*layers)
        hidden = 64 * width
        fc8 = [nn.Linear(hidden, classes)] if classes is not None else []
        self.classifier = nn.Sequential(
            nn.Linear(8 * width * 49, hidden),
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
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """conv5_3 after its ReLU: everything before the last pool."""
        return [self.features[:-1](x)]

    def forward(self, x: Tensor) -> Tensor:
        """Class scores (N, classes) before the softmax, for (N, 3, 224, 224)."""
        return self.classifier(self.features(x).flatten(1))

    def freeze_stages(self, last: int) -> None:
        """Freeze conv1_x to conv`last`_x; Fast R-CNN freezes the first two (section 4.5)."""
        if last:
            for layer in self.features[: self.stage_ends[last - 1]]:
                frozen(layer)

    def take_classifier(self) -> nn.Sequential:
        """Hand fc6 and fc7 over to a head that runs them once per region."""
        head = self.classifier[:6]
        self.classifier = None  # type: ignore[assignment]
        return head
