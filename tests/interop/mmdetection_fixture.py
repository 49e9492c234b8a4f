"""Makes mmdetection_r18.json: what mmdetection 3.3 finds with weights that a seed gives, in an image that a seed gives.

    python tests/interop/mmdetection_fixture.py      with mmdet 3.3 and mmcv (or its operators from torchvision)

A narrow ResNet-18-FPN of five classes by the config faster-rcnn_r50_fpn_1x_coco; no code of mmdetection is needed to
compare with the file.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

FILE = Path(__file__).with_name("mmdetection_r18.json")
SIZE = (128, 192)


def weights(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """Weights by name, under which scores and boxes differ from place to place."""
    random = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in shapes.items():
        noise = torch.randn(shape, generator=random)
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros((), dtype=torch.int64)
        elif name.endswith("running_var"):
            state[name] = 0.5 + noise.abs()
        elif ".bn" in name or "downsample.1" in name:
            state[name] = 0.7 + 0.1 * noise if name.endswith("weight") else 0.1 * noise
        elif len(shape) > 1:
            fan = shape[1:].numel() if isinstance(shape, torch.Size) else int(torch.tensor(shape[1:]).prod())
            scale = 3.0 if "fc_cls" in name else 0.3 if "reg" in name else 1.4
            state[name] = noise * scale / fan**0.5
        else:
            state[name] = 0.05 * noise
    return state


def pixels() -> Tensor:
    """(1, 3, 128, 192) uint8 RGB."""
    return torch.randint(0, 256, (1, 3, *SIZE), generator=torch.Generator().manual_seed(1)).to(torch.uint8)


def main() -> None:
    from mmdet.registry import MODELS
    from mmdet.structures import DetDataSample
    from mmdet.utils import register_all_modules
    from mmengine.config import Config

    register_all_modules()
    config = Config.fromfile(next(Path(__import__("mmdet").__file__).parent.rglob("faster-rcnn_r50_fpn_1x_coco.py")))
    model = config.model
    model.backbone.update(depth=18, base_channels=8, init_cfg=None)
    model.neck.update(in_channels=[8, 16, 32, 64], out_channels=16)
    model.rpn_head.update(in_channels=16, feat_channels=16)
    model.roi_head.bbox_roi_extractor.out_channels = 16
    model.roi_head.bbox_head.update(in_channels=16, fc_out_channels=32, num_classes=5)
    detector = MODELS.build(model).eval()
    shapes = {name: list(value.shape) for name, value in detector.state_dict().items()}
    detector.load_state_dict(weights(shapes))
    mean, std = (torch.tensor(model.data_preprocessor[key]).view(3, 1, 1) for key in ("mean", "std"))
    sample = DetDataSample(metainfo={"img_shape": SIZE, "ori_shape": SIZE, "scale_factor": (1.0, 1.0)})
    with torch.no_grad():
        found = detector.predict((pixels().float() - mean) / std, [sample])[0].pred_instances
    content = {key: getattr(found, key).tolist() for key in ("bboxes", "scores", "labels")}
    FILE.write_text(json.dumps({"shapes": shapes, **content}))


if __name__ == "__main__":
    main()
