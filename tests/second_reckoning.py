"""Detections made of the ground truth by chance, and matches of them counted by a second hand."""

import numpy as np

from detection.evaluation.results import ground_truth
from detection.report.missed import Passage

SEEN = Passage(None, 0.9, 0, 0.1, 1)


def detections(index, chance) -> list[dict]:
    """Of every object one that is shaken, of another class or left out by chance, and a false alarm an image."""
    results = []
    for annotation in ground_truth(index)["annotations"]:
        if chance.random() < 0.2:
            continue
        x, y, w, h = annotation["bbox"]
        box = [x + chance.normal(0, 2), y + chance.normal(0, 2), w, h]
        wrong = chance.random() < 0.2
        category = index.category_ids[0] if wrong else annotation["category_id"]
        found = {"image_id": annotation["image_id"], "category_id": int(category), "bbox": box}
        results.append({**found, "score": round(float(chance.random()), 2)})
    for image in index.image_ids.tolist():
        found = {"image_id": image, "category_id": int(index.category_ids[1]), "bbox": [0.0, 0.0, 9.0, 9.0]}
        results.append({**found, "score": 0.3})
    return results


def overlap(a, b) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def counts_at(index, results, label, threshold) -> tuple[int, int, int]:
    """Right, reported and wanted of a class, by greedy matching written down once more."""
    right = reported = wanted = 0
    category = index.category_ids[label]
    for image in index.image_ids.tolist():
        wanted_here = (image, category)
        truth = [a for a in ground_truth(index)["annotations"] if (a["image_id"], a["category_id"]) == wanted_here]
        found = [r for r in results if r["image_id"] == image and r["category_id"] == category]
        found = sorted((r for r in found if r["score"] >= threshold), key=lambda r: -r["score"])
        wanted, reported = wanted + len(truth), reported + len(found)
        for result in found:
            places = [overlap(result["bbox"], a["bbox"]) for a in truth]
            if places and max(places) >= 0.5:
                truth.pop(int(np.argmax(places)))
                right += 1
    return right, reported, wanted
