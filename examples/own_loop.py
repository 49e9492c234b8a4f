"""A training loop of one's own, with a Dataset of one's own: the model is a torch module that returns its losses.

python examples/own_loop.py
"""

from __future__ import annotations

import torch
from torch.utils.data import DataLoader, Dataset

from detection.config.schema import ModelConfig
from detection.model.build import build_model
from detection.records import Batch, Sample, Target, collate


class Squares(Dataset[Sample]):
    """Pictures of one bright square each; a Sample holds uint8 pixels and, for training, the boxes and labels."""

    def __len__(self) -> int:
        return 16

    def __getitem__(self, i: int) -> Sample:
        pixels = torch.randint(0, 60, (3, 96, 96), dtype=torch.uint8)
        x, y = 8 + 4 * (i % 8), 8 + 4 * (i // 2)
        pixels[:, y : y + 32, x : x + 32] = 255
        boxes = torch.tensor([[x, y, x + 32, y + 32]], dtype=torch.float32)
        return Sample(pixels, Target(boxes, torch.zeros(1, dtype=torch.int64), torch.zeros(0, 4)), (96, 96), i)


def main(epochs: int = 6) -> list[float]:
    """Train, and return the mean loss of each epoch."""
    torch.manual_seed(0)
    model = build_model(ModelConfig(backbone="resnet18", weights=None, width=16, fpn_channels=32), 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    loader: DataLoader[Batch] = DataLoader(
        Squares(), batch_size=4, shuffle=True, collate_fn=lambda samples: collate(samples, model.size_multiple)
    )
    history = []
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for batch in loader:
            loss = torch.stack(list(model(batch).values())).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        history.append(total / len(loader))
        print(f"epoch {epoch + 1}: loss {history[-1]:.3f}")
    return history


if __name__ == "__main__":
    main()
