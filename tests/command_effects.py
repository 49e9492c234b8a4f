"""For every option of every command two calls that must have different results.

In the arguments, names in braces stand for folders and files that the tests lay out.
"""

from __future__ import annotations

from dataclasses import dataclass

RUN, IMAGES = "--checkpoint={run}/best.pt", "{data}/val/000001.jpg {data}/val/000002.jpg"
OPENVINO = f"{RUN} --backend=openvino"
EVALUATE = f"{RUN} --output={{out}}"
FILE = "--predictions={run}/predictions.json --data={data}"
PREDICT = f"{IMAGES} {RUN} --score=0.01 --output={{out}}"
COMPARE = "{run} {second} --resamples=10 --output={out}"
CLASSIFY = "{classifier}/best.pt --output={out}/errors.json --workers=0"
LOOK = "{classifier}/best.pt --workers=0 --results={out}"
CONVERT = "--data={data} --to=yolo {out}/data"
SPLIT = "0.5 0.5 --data={data} --output={out}/data"
MERGE = "{data} {other} --output={out}/data"
REPORT = "{run} --workers=0 --output={out}"
KEEP = "{own} --workers=0"
NETS = "cifar_plain8 cifar_resnet8"
SHORT = "--data={classes} --train.iterations=2 --train.batch=6 --net.width=4 --input.augment=pad --input.crop=16"
DEGRADE = f"{SHORT} --input.pad=2 --input.workers=0 --evaluate.view=whole --output={{out}}/runs --results={{out}}"
IDENTITY = "--nets cifar_preact_resnet14 --images=8 --data={classes} --results={out}"
GRADIENTS = f"--nets cifar_resnet8 --images=8 {DEGRADE}"


@dataclass(frozen=True)
class Other:
    """before, after: arguments of two calls; shows: what of them differs, a part of `Seen` or a file of {out}."""

    before: str
    after: str
    shows: str


def more(base, *added, shows):
    """A call without and with what is added; two additions are two calls."""
    before, after = ("", *added) if len(added) == 1 else added
    return Other(f"{base} {before}", f"{base} {after}", shows)


PREDICTED, MEASURED = "predictions.json", "evaluation.json"
DEVICE = "--device=cuda:7"
FP16 = "--precision=fp16"


def looking(name):
    """Options that the experiments on trained classifiers share."""
    return {
        "classifiers": Other(LOOK, LOOK.replace("best.pt", "{early}"), f"{name}.json"),
        "--data": more(LOOK, "--data={other_classes}", shows=f"{name}.json"),
        "--split": more(LOOK, "--split=val", shows=f"{name}.json"),
        "--images": more(LOOK, "--images=2", shows=f"{name}.json"),
        "--batch": more(LOOK, "--batch=0", shows="status"),
        "--workers": more(LOOK, "--workers=-1", shows="status"),
        "--device": more(LOOK, DEVICE, shows="status"),
        "--results": Other(LOOK, f"{LOOK}/deeper", "names"),
    }


EFFECTS = {
    "evaluate": {
        "--checkpoint": Other(EVALUATE, EVALUATE.replace("{run}", "{second}"), PREDICTED),
        "--refine": more(EVALUATE, "--refine", shows=PREDICTED),
        "--vote": more(EVALUATE, "--vote", shows=PREDICTED),
        "--scales": more(EVALUATE, "--scales 48 96", shows=PREDICTED),
        "--flip": more(EVALUATE, "--flip", shows=PREDICTED),
        "--suppression": more(f"{EVALUATE} --nms=0.1", "--suppression=soft", shows=PREDICTED),
        "--union": more(EVALUATE, "--union=best", shows="status"),  # of ensembles
        "--tile": more(EVALUATE, "--tile=48", shows=PREDICTED),
        "--overlap": more(f"{EVALUATE} --tile=40", "--overlap=0.5", shows=PREDICTED),
        "--nms": more(EVALUATE, "--nms=0.1", shows=PREDICTED),
        "--predictions": more("--data={data}", "--predictions={run}/predictions.json", shows="status"),
        "--data": more(EVALUATE, "--data={other}", shows=PREDICTED),
        "--split": more(EVALUATE, "--split=train", shows=PREDICTED),
        "--format": more(EVALUATE, "--format=yolo", shows="status"),
        "--images": more(EVALUATE, "--images={classes}", shows="status"),
        "--invalid": more(f"{EVALUATE} --data={{flawed}}", "--invalid=error", "--dataset.invalid=skip", shows="status"),
        "--metric": more(EVALUATE, "--metric=voc", shows=MEASURED),
        "--backend": more(f"{FILE} --metric=voc", "--backend=pycocotools", shows="status"),
        "--batch": more(f"{EVALUATE} --refine", "--batch=2", shows="status"),
        "--size": more(EVALUATE, "--size=96", shows=PREDICTED),
        "--max-detections": more(EVALUATE, "--max-detections=11", shows="told"),
        "--device": more(EVALUATE, DEVICE, shows="status"),
        "--processes": more(EVALUATE, f"--processes=2 {DEVICE}", shows="status"),
        "--precision": more(EVALUATE, "--precision=bf16", shows=PREDICTED),
        "--grey-bits": more(f"{EVALUATE} --data={{grey}}", "--grey-bits=12", shows=PREDICTED),
        "--compiled": more(EVALUATE, "--compiled", shows="told"),
        "--workers": more(FILE, "--workers=1", shows="status"),
        "--output": Other(RUN, EVALUATE, "names"),
        "--no-report": more(EVALUATE, "--no-report", shows="names"),
        "--json": more(EVALUATE, "--json", shows="told"),
    },
    "predict": {
        "images": Other(PREDICT, PREDICT.replace("000001", "000003"), PREDICTED),
        "--checkpoint": Other(PREDICT, PREDICT.replace("{run}", "{second}"), PREDICTED),
        "--refine": more(PREDICT, "--refine", shows=PREDICTED),
        "--vote": more(PREDICT, "--vote", shows=PREDICTED),
        "--scales": more(PREDICT, "--scales 48 96", shows=PREDICTED),
        "--flip": more(PREDICT, "--flip", shows=PREDICTED),
        "--suppression": more(f"{PREDICT} --nms=0.1", "--suppression=soft", shows=PREDICTED),
        "--union": more(PREDICT, "--union=best", shows="status"),  # of ensembles
        "--nms": more(PREDICT, "--nms=0.1", shows=PREDICTED),
        "--output": Other(PREDICT, PREDICT.replace("{out}", "{out}/deeper"), "names"),
        "--score": more(PREDICT, "--score=star=0.99", shows=PREDICTED),
        "--batch": more(f"{PREDICT} --refine", "--batch=2", shows="status"),
        "--size": more(PREDICT, "--size=96", shows=PREDICTED),
        "--device": more(PREDICT, DEVICE, shows="status"),
        "--processes": more(PREDICT, f"--processes=2 {DEVICE}", shows="status"),
        "--precision": more(PREDICT, "--precision=bf16", shows=PREDICTED),
        "--grey-bits": more(
            f"{{grey}}/val/000001.png {RUN} --score=0.01 --output={{out}}", "--grey-bits=12", shows=PREDICTED
        ),
        "--compiled": more(PREDICT, "--compiled", shows="told"),
        "--workers": more(PREDICT, "--workers=0", shows="status"),
        "--invalid": more(f"{{torn}}/train/000001.jpg {PREDICT}", "--invalid=skip", shows="status"),
        "--resume": Other("--output={done} " + PREDICT, PREDICT + " --resume --output={done}", "told"),
        "--no-pictures": more(PREDICT, "--no-pictures", shows="names"),
        "--json": more(PREDICT, "--json", shows="told"),
        "--tile": more(PREDICT, "--tile=48", shows=PREDICTED),
        "--overlap": more(f"{PREDICT} --tile=40", "--overlap=0.5", shows=PREDICTED),
        "--save": more(PREDICT, "--save coco", shows="names"),
        "--crops": more(PREDICT, "--crops", shows="names"),
        "--classes": more(PREDICT, "--classes=star", shows=PREDICTED),
        "--every": more(PREDICT, "--every=2", shows="status"),
        "--track": more(PREDICT, "--track", shows="status"),
        "--engine": more(f"{PREDICT} --processes=2 --device=cpu", "--engine=ray", shows="status"),
    },
    "compare": {
        "runs": Other(COMPARE, COMPARE.replace("{second}", ""), "compare.md"),
        "--data": more("{run}/predictions.json --resamples=0 --output={out}", "--data={data}", shows="status"),
        "--split": more(f"{COMPARE}", "--split=train", shows="status"),
        "--format": more(COMPARE.replace("{second}", "") + " --data={data}", "--format=yolo", shows="status"),
        "--images": more(COMPARE.replace("{second}", "") + " --data={data}", "--images={classes}", shows="status"),
        "--metric": more(COMPARE, "--metric=voc", shows="compare.md"),
        "--paper": more(COMPARE, "--paper=8", shows="compare.md"),
        "--resamples": more(COMPARE, "--resamples=0", shows="compare.md"),
        "--seed": more(COMPARE, "--seed=1", shows="compare.json"),
        "--confidence": more(COMPARE, "--confidence=50", shows="compare.json"),
        "--latency": more(COMPARE, "--latency=1", shows="compare.md"),
        "--device": more(COMPARE, DEVICE, shows="status"),
        "--output": Other(COMPARE, COMPARE.replace("{out}", "{out}/deeper"), "names"),
        "--json": more(COMPARE, "--json", shows="told"),
    },
    "submit": {
        "--predictions": more(
            "--data={data} --kind=voc --split=val --output={out}",
            "--predictions={run}/predictions.json",
            shows="status",
        ),
        "--data": more(
            "--predictions={run}/predictions.json --kind=voc --split=val --output={out}",
            "--data={data}",
            "--data={classes}",
            shows="status",
        ),
        "--split": more(f"{FILE} --kind=voc --output={{out}}", "--split=val", "--split=nowhere", shows="status"),
        "--format": more(f"{FILE} --kind=voc --split=val --output={{out}}", "--format=yolo", shows="status"),
        "--kind": more(f"{FILE} --split=val --output={{out}}", "--kind=voc", "--kind=coco", shows="names"),
        "--competition": more(f"{FILE} --split=val --kind=voc --output={{out}}", "--competition=comp3", shows="names"),
        "--year": more(f"{FILE} --split=val --kind=voc --output={{out}}", "--year=VOC2007", shows="names"),
        "--algorithm": more(f"{FILE} --split=val --kind=coco --output={{out}}", "--algorithm=ours", shows="names"),
        "--output": more(f"{FILE} --split=val --kind=coco", "--output={out}", "--output={out}/deeper", shows="names"),
    },
    "classify": {
        "classifiers": Other(CLASSIFY, f"{{classifier}}/last.pt {CLASSIFY}", "told"),
        "--data": more(CLASSIFY, "--data={other_classes}", shows="errors.json"),
        "--split": more(CLASSIFY, "--split=val", shows="errors.json"),
        "--view": more(CLASSIFY, "--view=multi-scale --scales 24", shows="errors.json"),
        "--size": more(f"{CLASSIFY} --view=1-crop --size=16", "--size=24", shows="errors.json"),
        "--crop": more(f"{CLASSIFY} --view=1-crop --size=16", "--crop=8", shows="errors.json"),
        "--scales": more(f"{CLASSIFY} --view=multi-scale", "--scales 24", "--scales 16", shows="errors.json"),
        "--batch": more(CLASSIFY, "--batch=0", shows="status"),
        "--workers": more(CLASSIFY, "--workers=-1", shows="status"),
        "--device": more(CLASSIFY, DEVICE, shows="status"),
        "--output": Other(CLASSIFY, CLASSIFY.replace("{out}", "{out}/deeper"), "names"),
    },
    "export": {
        "--checkpoint": more("--count=1 --output={out}/a.onnx", RUN, shows="status"),
        "--backend": more(f"{RUN} --count=1 --output={{out}}/a.onnx", "--backend=openvino", shows="names"),
        "--precision": more(f"{OPENVINO} --count=1 --output={{out}}", "--precision=int8", shows="told"),
        "--layout": more(f"{RUN} --count=1 --output={{out}}/a.onnx", "--layout=nchw", shows="a.onnx"),
        "--fixed": more(f"{RUN} --output={{out}}/a.onnx", "--fixed=96x96", shows="a.onnx"),
        "--license": more(f"{RUN} --count=1 --output={{out}}/a.onnx", "--license=MIT", shows="a.onnx"),
        "--images": more(f"{RUN} --output={{out}}/a.onnx", f"--images {IMAGES}", shows="told"),
        "--count": more(f"{RUN} --output={{out}}/a.onnx", "--count=1", shows="told"),
        "--output": more(f"{RUN} --count=1", "--output={out}/a.onnx", "--output={out}/b.onnx", shows="names"),
    },
    "configs": {"name": Other("", "quickstart", "told")},
    "check-data": {
        "--data": more("", "--data={data}", shows="status"),
        "--format": more("--data={data}", "--format=yolo", shows="status"),
        "--images": more("--data={data}", "--images={classes}", shows="status"),
        "--quick": more("--data={torn}", "--quick", shows="status"),
        "--model": more("--data={data}", "--model={run}", shows="told"),
        "--device": more("--data={data} --model={run}", DEVICE, shows="status"),
        "--json": more("--data={data}", "--json={out}/check.json", shows="names"),
        "--output": more("--data={data}", "--output={out}", shows="names"),
        "--fix": more("--data={data}", "--fix={out}", shows="names"),
    },
    "report": {
        "run": Other(REPORT, REPORT.replace("{run}", "{second}"), "report.json"),
        "--data": more(REPORT, "--data={other}", shows="report.json"),
        "--split": more(REPORT, "--split=train", shows="report.json"),
        "--format": more(REPORT, "--format=yolo", shows="status"),
        "--images": more(REPORT, "--images={classes}", shows="status"),
        "--invalid": more(f"{REPORT} --data={{flawed}}", "--invalid=error", "--invalid=skip", shows="status"),
        "--size": more(REPORT, "--size=96", shows="report.json"),
        "--slices": more(REPORT, "--slices={classes}", shows="status"),
        "--device": more(REPORT, DEVICE, shows="status"),
        "--workers": more(REPORT.replace("--workers=0", ""), "--workers=-1", shows="status"),
        "--output": Other(REPORT, REPORT.replace("{out}", "{out}/deeper"), "names"),
        "--json": more(REPORT, "--json", shows="told"),
    },
    "threshold": {
        "run": Other(KEEP, KEEP.replace("{own}", "{own}/last.pt"), "told"),
        "--data": more(KEEP, "--data={other}", shows="told"),
        "--split": more(KEEP, "--split=train", shows="told"),
        "--beta": more(f"{KEEP} --missed=1 --false-alarm=1", "--beta=2", shows="status"),
        "--missed": more(f"{KEEP} --false-alarm=1", "--missed=50", shows="status"),
        "--false-alarm": more(f"{KEEP} --missed=50", "--false-alarm=1", shows="status"),
        "--fallback": more(f"{KEEP} --missed=1 --false-alarm=100", "--fallback=0.25", shows="told"),
        "--clear": more(KEEP, "--clear", shows="told"),
        "--device": more(KEEP, DEVICE, shows="status"),
        "--workers": more("{own}", "--workers=-1", shows="status"),
    },
    "convert": {
        "output": Other(CONVERT, CONVERT.replace("{out}", "{out}/deeper"), "names"),
        "--data": Other(CONVERT, CONVERT.replace("{data}", "{other}"), "told"),
        "--to": Other(CONVERT, CONVERT.replace("yolo", "voc"), "names"),
        "--format": more(CONVERT, "--format=yolo", shows="status"),
        "--images": more(CONVERT, "--images={classes}/train", shows="told"),
    },
    "split": {
        "shares": Other(SPLIT, SPLIT.replace("0.5 0.5", "0.4 0.3 0.3"), "names"),
        "--data": Other(SPLIT, SPLIT.replace("{data}", "{other}"), "names"),
        "--group": more(SPLIT, "--group=^(train|val)", shows="told"),
        "--seed": more(SPLIT, "--seed=1", shows="names"),
        "--output": Other(SPLIT, SPLIT.replace("{out}", "{out}/deeper"), "names"),
        "--to": more(SPLIT, "--to=voc", shows="names"),
        "--format": more(SPLIT, "--format=yolo", shows="status"),
        "--images": more(SPLIT, "--images={classes}/train", shows="status"),
    },
    "merge": {
        "datasets": Other(MERGE, MERGE.replace("{other}", "{grey}"), "told"),
        "--output": Other(MERGE, MERGE.replace("{out}", "{out}/deeper"), "names"),
        "--to": more(MERGE, "--to=voc", shows="names"),
    },
    "degradation": {
        "--nets": more(DEGRADE, f"--nets {NETS}", "--nets cifar_plain8", shows="degradation.md"),
        "--results": Other(f"--nets {NETS} {DEGRADE}", f"--nets {NETS} {DEGRADE}/deeper", "names"),
        "--jobs": more(f"--nets cifar_plain8 {DEGRADE}", "--jobs=0", shows="status"),
    },
    "responses": looking("responses"),
    "lesion": {
        **looking("lesion"),
        "--removed": more(LOOK, "--removed 1", shows="lesion.json"),
        "--swapped": more(LOOK, "--swapped 1", shows="status"),  # a net of three blocks has none to swap
        "--draws": more(f"{LOOK} --removed 1", "--draws=2", shows="lesion.json"),
        "--seed": more(f"{LOOK} --removed 1 --draws=1", "--seed=1", shows="lesion.json"),
    },
    "paths": {
        **looking("paths"),
        "--draws": more(f"{LOOK} --draws=1", "--draws=2", shows="paths.json"),
        "--seed": more(f"{LOOK} --draws=1", "--seed=1", shows="paths.json"),
    },
    "identity": {
        "--nets": more(IDENTITY, "--nets cifar_resnet14", shows="identity.json"),
        "--trained": more(IDENTITY, "--trained {classifier}/best.pt", shows="status"),  # has one block a stage
        "--data": Other(IDENTITY, IDENTITY.replace("{classes}", "{other_classes}"), "identity.json"),
        "--split": more(IDENTITY, "--split=val", shows="identity.json"),
        "--images": more(IDENTITY, "--images=4", shows="identity.json"),
        "--seed": more(IDENTITY, "--seed=1", shows="identity.json"),
        "--results": Other(IDENTITY, f"{IDENTITY}/deeper", "names"),
    },
    "gradients": {
        "--nets": more(GRADIENTS, "--nets cifar_plain8", shows="gradients.json"),
        "--trained": more(GRADIENTS, "--trained {classifier}/best.pt", shows="gradients.json"),
        "--images": more(GRADIENTS, "--images=4", shows="gradients.json"),
        "--relative": more(GRADIENTS, "--relative", shows="gradients.json"),
        "--results": Other(GRADIENTS, f"{GRADIENTS}/deeper", "names"),
    },
    "summary": {
        "--nets": more("--results={out}", f"--nets {NETS}", "--nets resnet18", shows="summary.md"),
        "--shortcut": more("--results={out} --nets cifar_resnet8", "--shortcut=B", shows="summary.json"),
        "--stride-in-1x1": more("--results={out} --nets resnet50", "--stride-in-1x1", shows="summary.json"),
        "--size": more("--results={out} --nets resnet18", "--size=64", shows="summary.json"),
        "--results": more("--nets resnet18", "--results={out}", "--results={out}/deeper", shows="names"),
    },
}
