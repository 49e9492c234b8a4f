"""Run a detector that `frcnn export` wrote, with nothing but onnxruntime, numpy and Pillow.

python onnx_python.py best.onnx photo.jpg [least score]
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
names = json.loads(session.get_modelmeta().custom_metadata_map["names"])
image = np.asarray(ImageOps.exif_transpose(Image.open(sys.argv[2])).convert("RGB"))
inputs = {"images": image[None]}
if len(sys.argv) > 3:  # without, the thresholds that the file was written with
    inputs["thresholds"] = np.full(len(names), float(sys.argv[3]), np.float32)
boxes, scores, labels, _ = session.run(None, inputs)
for box, score, label in zip(boxes, scores, labels):
    print(names[label], f"{score:.4f}", *(f"{edge:.2f}" for edge in box))
