"""Four detectors against what detectron2 computed on the same weights and pictures, from the pixels to the gradients.

Tolerances are those that rounding alone needs: features 5e-6 of a map's largest value, scores and logits 5e-5, boxes
0.02 pixels, losses 1e-5, gradients 2e-3. Two deviations are meant, and none of the fixtures meets them: a ground truth
that no anchor overlaps claims no anchors here, and both RPN losses are divided by the anchors sampled, which is
detectron2's 256 an image as long as an image has that many to sample.
"""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from detection.config.schema import AnchorConfig, ModelConfig, RoIConfig, RPNConfig
from detection.data.image import read_image, resize_image, resize_size
from detection.errors import InputError
from detection.geometry.box_coder import BoxCoder
from detection.interop.detectron2 import from_detectron2, key_of
from detection.interop.zoo_pickle import read_zoo_pickle
from detection.model.build import build_model
from detection.model.faster_rcnn import FasterRCNN
from detection.model.roi_stage import ROI_CODER
from detection.records import Batch, Sample, Target, collate

CLASSES, ORIGINAL = 5, [(480, 640), (480, 300)]
BODY = {"weights": None, "norm": "frozen", "freeze": 2}
ZOO_BODY = {**BODY, "stride_in_1x1": True}
CONFIGS = {
    "r50_fpn": ModelConfig(
        **ZOO_BODY, width=16, fpn_channels=64, roi=RoIConfig(hidden=64, batch_per_image=128, score=0.02)
    ),
    "r50_c4": ModelConfig("c4", **ZOO_BODY, width=8, roi=RoIConfig(batch_per_image=128, score=0.02)),
    "r50_dc5": ModelConfig("dc5", **ZOO_BODY, width=8, roi=RoIConfig(hidden=32, batch_per_image=128, score=0.02)),
    "r50_fpn_options": ModelConfig(
        **BODY,
        width=8,
        fpn_channels=32,
        anchors=AnchorConfig(offset=0.5),
        rpn=RPNConfig(test_before_nms=300, test_after_nms=150, min_side=4, beta=0.1111),
        roi=RoIConfig(
            pool="align_legacy",
            sampling_ratio=2,
            batch_per_image=128,
            append_truth=False,
            hidden=64,
            class_agnostic=True,
            beta=0.5,
            score=0.02,
            detections=30,
        ),
    ),
}
PIXELS = {"r50_fpn_options": ("RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))}


@dataclass
class Case:
    """One fixture: our model, detectron2's numbers, the picture alone and with the second one."""

    model: FasterRCNN
    outputs: dict[str, np.ndarray]
    notes: dict
    alone: Batch
    both: Batch

    def wanted(self, name: str) -> Tensor:
        return torch.from_numpy(self.outputs[name])


@pytest.fixture(scope="module", params=list(CONFIGS))
def case(request, shared) -> Case:
    folder = shared / "fixtures" / "detectron2" / request.param
    model = build_model(CONFIGS[request.param], CLASSES).eval()
    model.load_state_dict(from_detectron2(read_zoo_pickle(folder / "model.pkl"), *PIXELS.get(request.param, ())))
    outputs = dict(np.load(folder / "outputs.npz"))
    notes = json.loads((folder / "outputs.json").read_bytes())
    samples = []
    for i, name in enumerate(("image_resized_uint8", "image_b_resized_uint8")):
        rgb = outputs[name] if notes["input_format"] == "RGB" else outputs[name][..., ::-1]
        target = Target(
            torch.from_numpy(outputs[f"train_gt_boxes_{i}"]),
            torch.from_numpy(outputs[f"train_gt_classes_{i}"]).long(),
            torch.zeros(0, 4),
        )
        samples.append(Sample(torch.from_numpy(rgb.copy()).permute(2, 0, 1), target, ORIGINAL[i], i))
    return Case(model, outputs, notes, collate(samples[:1]), collate(samples))


@pytest.fixture(scope="module")
def maps(case):
    with torch.no_grad():
        return case.model.eval().maps(case.alone)


def close(ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


def close_to_largest(ours: Tensor, theirs: Tensor, tolerance: float = 5e-6) -> None:
    close(ours, theirs, tolerance * float(theirs.abs().max()))


@torch.no_grad()
def test_features(case, maps):
    model, x = case.model, case.model.normalise(case.alone)
    stages = model.backbone.feature_maps(x)
    ours = {"stem": model.backbone.stem(x)} | {f"res{i}": stage for i, stage in enumerate(stages, 2)}
    if model.neck is not None:
        ours |= {f"p{i}": level for i, level in enumerate(maps, 2)}
    for name, notes in case.notes["feature_subsample"].items():
        assert list(ours[name].shape) == notes["shape"]
        step = notes["spatial_step"]
        part = ours[name][0, :: notes["channel_step"], ::step, ::step]
        close_to_largest(part, case.wanted(f"feature_{name}_sub"))


@torch.no_grad()
def test_anchors_and_rpn(case, maps):
    output = case.model.rpn(maps)
    for i, (x, step) in enumerate(zip(maps, case.outputs["rpn_sub_steps"])):
        torch.testing.assert_close(output.anchors[i], case.wanted(f"anchors_{i}"), rtol=1e-6, atol=1e-4)
        hw = x.shape[-2:]
        logits = output.logits[i].unflatten(1, (*hw, -1))[0].permute(2, 0, 1)  # (1, H*W*A) -> (A, H, W)
        deltas = output.deltas[i].reshape(*hw, -1).permute(2, 0, 1)  # (1, H*W*A, 4) -> (4A, H, W)
        close(logits[:, ::step, ::step], case.wanted(f"rpn_logits_{i}_sub"), 5e-5)
        close(deltas[:, ::step, ::step], case.wanted(f"rpn_deltas_{i}_sub"), 5e-5)


@torch.no_grad()
def test_proposals(case, maps):
    model, output = case.model, case.model.rpn(maps)
    ours = model.selector(output.logits, output.deltas, output.anchors, case.alone.sizes, model.test_limits)[0]
    boxes = case.wanted("proposal_boxes")
    assert ours.boxes.shape == boxes.shape
    close(ours.boxes[:150], boxes[:150], 0.02)
    close(ours.logits, case.wanted("proposal_logits"), 5e-5)
    distance = torch.cdist(ours.boxes, boxes, p=torch.inf)  # later ones may change places under rounding
    assert distance.amin(0).max() < 0.02 and distance.amin(1).max() < 0.02


@torch.no_grad()
def test_region_head(case, maps):
    stage, count = case.model.roi_stage, 150
    pooled = stage.pooler(case.model.region_maps(maps), [case.wanted("proposal_boxes")[:count]])
    close_to_largest(pooled[:4], case.wanted("roi_pooled_first4"))
    feature = stage.head(pooled)
    close_to_largest(feature[:32], case.wanted("roi_box_feature_first32"))
    logits, deltas = stage.predictor(feature)
    close(logits, case.wanted("roi_cls_logits")[:count], 5e-5)
    close(deltas.flatten(1), case.wanted("roi_box_deltas")[:count], 5e-5)


@torch.no_grad()
def test_detections_alone_and_in_a_batch(case):
    model = case.model.eval()
    for batch, names in ((case.alone, [("det_", "")]), (case.both, [("batch_det_", "_0"), ("batch_det_", "_1")])):
        for ours, (prefix, suffix) in zip(model(batch), names):
            scores, boxes = case.wanted(f"{prefix}scores{suffix}"), case.wanted(f"{prefix}boxes{suffix}")
            labels = torch.from_numpy(case.outputs[f"{prefix}classes{suffix}"])
            close(ours.scores, scores, 5e-5)
            # Two detections of one score may stand either way round.
            apart = 1000.0 * (labels[:, None] != ours.labels)
            own = ((boxes[:, None] - ours.boxes).abs().amax(2) + apart).argmin(1)
            assert sorted(own.tolist()) == list(range(len(boxes)))
            close(ours.boxes[own], boxes, 0.02)
            close(ours.scores[own], scores, 5e-5)
            assert torch.equal(ours.labels[own], labels.long())


def test_anchor_matching(case):
    target, levels = case.both.targets[0], len(case.outputs["rpn_sub_steps"])
    anchors = torch.cat([case.wanted(f"anchors_{i}") for i in range(levels)])
    labels, matched = case.model.rpn.matcher(anchors, target)
    assert torch.equal(labels, case.wanted("rpn_match_labels"))
    assert np.array_equal(matched.numpy(), case.outputs["rpn_matched_gt"])
    rows = case.wanted("rpn_pos_index").long()
    assert torch.equal((labels == 1).nonzero().squeeze(1), rows)
    close(BoxCoder().encode(target.boxes[matched[rows]], anchors[rows]), case.wanted("rpn_pos_deltas"), 1e-5)


def test_region_matching(case):
    target, boxes = case.both.targets[0], case.wanted("roi_match_proposals")
    labels, matched = case.model.roi_stage.matcher(boxes, target)
    classes = torch.where(labels == 1, target.labels[matched], CLASSES)
    assert np.array_equal(classes.numpy(), case.outputs["roi_match_classes"])
    assert np.array_equal(matched.numpy(), case.outputs["roi_matched_gt"])
    rows = case.wanted("roi_pos_index").long()
    close(ROI_CODER.encode(target.boxes[matched[rows]], boxes[rows]), case.wanted("roi_pos_deltas"), 1e-4)


def test_samples_losses_and_gradients(case, monkeypatch):
    monkeypatch.setattr(torch, "randperm", lambda n, device=None, generator=None: torch.arange(n, device=device))
    model, drawn = case.model.train(), []
    sample = model.roi_stage.sample
    monkeypatch.setattr(model.roi_stage, "sample", lambda *inputs: drawn.extend(sample(*inputs)) or drawn)
    model.zero_grad()
    losses = model(case.both)
    sum(losses.values()).backward()
    for i, regions in enumerate(drawn):
        close(regions.boxes, case.wanted(f"train_roi_boxes_{i}"), 0.02)
        assert np.array_equal(regions.labels.numpy(), case.outputs[f"train_roi_classes_{i}"])
    theirs = {"rpn_objectness": "rpn_cls", "rpn_box": "rpn_loc", "roi_class": "cls", "roi_box": "box_reg"}
    for name, their in theirs.items():
        assert losses[name].item() == pytest.approx(case.notes["losses"][f"loss_{their}"], rel=1e-5)
    parameters = dict(model.named_parameters())
    for name, wanted in case.notes["gradients"].items():
        gradient = parameters[key_of(name)].grad
        if wanted is None:  # frozen
            assert gradient is None, name
        else:
            tolerance = 2e-3 * wanted["l2"]
            assert gradient.norm().item() == pytest.approx(wanted["l2"], abs=tolerance), name
            close(gradient.flatten()[:4], torch.tensor(wanted["first"]), tolerance)
    model.eval()


def test_resize_gives_the_stored_pixels(shared):
    outputs = np.load(shared / "fixtures" / "detectron2" / "r50_fpn" / "outputs.npz")
    # A PNG decodes to the same pixels everywhere, a JPEG to within one.
    for name, key, slack in (("b.png", "image_b_resized_uint8", 0), ("a.jpg", "image_resized_uint8", 1)):
        image = read_image(shared / "fixtures" / "images" / name)
        ours = resize_image(image, resize_size(image.shape[:2], 320, 533))
        difference = ours.astype(int) - outputs[key][..., ::-1]
        assert np.abs(difference).max() <= slack


def test_channels_turn_round_and_caffe_norms_get_statistics():
    stem = np.arange(3 * 49, dtype=np.float32).reshape(1, 3, 7, 7)
    weights = {"backbone.stem.conv1.weight": stem, "backbone.stem.conv1.norm.weight": np.ones(1, np.float32)}
    state = from_detectron2({**weights, "pixel_mean": np.zeros(3)}, mean=(1, 2, 3), std=(4, 5, 6))
    assert torch.equal(state["backbone.conv1.weight"][0, 0], torch.from_numpy(stem[0, 2]))
    assert state["pixel_mean"].flatten().tolist() == [3, 2, 1] and state["pixel_std"].flatten().tolist() == [6, 5, 4]
    assert state["backbone.bn1.running_var"].tolist() == [1] and state["backbone.bn1.running_mean"].tolist() == [0]
    rgb = from_detectron2(weights, "RGB", mean=(1, 2, 3))
    assert rgb["pixel_mean"].flatten().tolist() == [1, 2, 3]
    assert torch.equal(rgb["backbone.conv1.weight"], torch.from_numpy(stem))


def test_other_models_and_orders_are_refused():
    with pytest.raises(InputError, match="head.cls_subnet.0.weight: not a weight of detectron2's Faster R-CNN"):
        from_detectron2({"head.cls_subnet.0.weight": np.zeros(1)})
    with pytest.raises(ValueError, match="order 'GRB' is unknown; known are BGR, RGB"):
        from_detectron2({}, "GRB")
