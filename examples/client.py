"""Ask `frcnn serve` what is in images, with nothing but Python.

python examples/client.py http://127.0.0.1:8000 photo.jpg more.jpg
"""

import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request


def detect(address: str, path: str, **options: float | str) -> dict:
    """The answer for one image. options: model, score, classes; a full service is asked again."""
    url = f"{address}/predict?{urllib.parse.urlencode(options)}"
    with open(path, "rb") as file:
        request = urllib.request.Request(url, file.read(), {"X-API-Key": os.environ.get("FRCNN_API_KEY", "")})
    while True:
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["images"][0]
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise SystemExit(f"{path}: {json.load(error)['detail']}") from error
            time.sleep(float(error.headers["Retry-After"]))


if __name__ == "__main__":
    for path in sys.argv[2:]:
        found = detect(sys.argv[1], path)
        print(path, f"{found['seconds']['compute']:.3f} s")
        for each in found["detections"]:
            print(f"  {each['score']:.3f} {each['class']}", *each["box"])
