"""From a region's pooled feature to its class scores and deltas.

pooled   (R, C, S, S)
feature  (R, F)
logits   (R, K + 1), background last
deltas   (R, K, 4), or (R, 1, 4) where all classes share one
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from backbones.norm import conv_norm, normed_convolution, parts_of


class TwoFCHead(nn.Module):
    """fc6 and fc7 with ReLUs: FPN's and DC5's head."""

    def __init__(self, channels: int, size: int, hidden: int = 1024) -> None:
        super().__init__()
        self.fc6 = nn.Linear(channels * size * size, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.outputs = hidden
        for layer in (self.fc6, self.fc7):
            nn.init.kaiming_uniform_(layer.weight, a=1)
            nn.init.zeros_(layer.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        return F.relu(self.fc7(F.relu(self.fc6(pooled.flatten(1)), inplace=True)), inplace=True)


class ConvHead(nn.Module):
    """3x3 convolutions, each with a norm where one is named, and fc6 (Wu and He 2018, section 5.2; 4conv1fc)."""

    def __init__(
        self, channels: int, size: int, convolutions: int, hidden: int = 1024, norm: str | None = None
    ) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(normed_convolution(channels, channels, 3, norm) for _ in range(convolutions))
        self.fc6 = nn.Linear(channels * size * size, hidden)
        self.outputs = hidden
        for module in self.convolutions.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.kaiming_uniform_(self.fc6.weight, a=1)
        nn.init.zeros_(self.fc6.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        x = pooled
        for block in self.convolutions:
            x = conv_norm(x, *parts_of(block), relu=True)
        return F.relu(self.fc6(x.flatten(1)), inplace=True)


class VGGHead(nn.Module):
    """VGG-16's own fc6 and fc7, with dropout (Fast R-CNN)."""

    def __init__(self, classifier: nn.Sequential, outputs: int) -> None:
        super().__init__()
        self.classifier = classifier
        self.outputs = outputs

    def forward(self, pooled: Tensor) -> Tensor:
        return self.classifier(pooled.flatten(1))


class Stage5Head(nn.Module):
    """ResNet's conv5_x on each region and the mean over its map (He et al. 2015, appendix A)."""

    def __init__(self, stage5: nn.Sequential, outputs: int) -> None:
        super().__init__()
        self.stage5 = stage5
        self.outputs = outputs

    def forward(self, pooled: Tensor) -> Tensor:
        return self.stage5(pooled).mean((2, 3))


class BoxPredictor(nn.Module):
    """Two sibling layers: K + 1 class scores, and four deltas a class or four in all."""

    def __init__(self, inputs: int, classes: int, class_agnostic: bool = False) -> None:
        super().__init__()
        self.scores = nn.Linear(inputs, classes + 1)
        self.deltas = nn.Linear(inputs, 4 if class_agnostic else 4 * classes)
        nn.init.normal_(self.scores.weight, std=0.01)  # Fast R-CNN, section 2.3
        nn.init.normal_(self.deltas.weight, std=0.001)
        for layer in (self.scores, self.deltas):
            nn.init.zeros_(layer.bias)

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        return self.scores(feature), self.deltas(feature).unflatten(1, (-1, 4))
