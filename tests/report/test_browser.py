"""The page of a report in a real browser: Debian's chromium, driven by selenium."""

from dataclasses import replace

import pytest

from detection.data.shapes import write_shapes
from detection.evaluation.results import ground_truth
from detection.loading.datasets import find_data
from detection.report.analysis import analyse
from detection.report.missed import Passage
from detection.report.page import Subject, page
from detection.report.traced import Traced

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Of a detector that finds the first object of each image and nothing else, but for one false alarm; one class has
    a hostile name, and so has the run."""
    from detection.config.schema import Config

    folder = write_shapes(tmp_path_factory.mktemp("data") / "shapes", train=1, val=12, size=96)
    index = find_data(Config(data=str(folder))).read("val")
    index = replace(index, class_names=(HOSTILE, *index.class_names[1:]))
    results, passages, first = [], [], set()
    for annotation in ground_truth(index)["annotations"]:
        found = annotation["image_id"] not in first
        first.add(annotation["image_id"])
        if found:
            keys = ("image_id", "category_id", "bbox")
            results.append({**{key: annotation[key] for key in keys}, "score": 0.9})
        passages.append(Passage(None, 0.9, 0, 0.1, 1) if found else Passage("background", 0.0, 6, 0.9, 3))
    results.append({**results[0], "bbox": [0.0, 0.0, 8.0, 8.0], "score": 0.95})
    analysis = analyse(index, Traced(results, passages))
    file = folder.parent / "report.html"
    file.write_text(page(analysis, None, Subject(HOSTILE, "a test", "frcnn report")))
    return file, analysis


def shown(browser):
    return [figure for figure in browser.find_elements("css selector", ".picture") if figure.is_displayed()]


def test_filters_and_the_slider(browser, report):
    file, analysis = report
    browser.set_window_size(1200, 900)
    browser.get(file.as_uri())
    figures = shown(browser)
    assert figures and analysis.missed
    boxes = (
        "return [...document.querySelectorAll('rect[data-score]')].filter(b => b.getBoundingClientRect().width).length"
    )
    before = browser.execute_script(boxes)
    move = "const s = document.getElementById('score'); s.value = arguments[0]; s.dispatchEvent(new Event('input'))"
    browser.execute_script(move, "0.93")
    assert browser.execute_script(boxes) < before and browser.find_element("id", "shown").text == "0.93"
    choose = "const s = document.getElementById('error'); s.value = 'wrong'; s.dispatchEvent(new Event('input'))"
    browser.execute_script(choose)
    assert len(shown(browser)) == 1 and browser.find_element("id", "count").text.startswith("1 of")


def test_a_phone_and_the_dark(browser, report):
    browser.set_window_size(390, 844)
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    browser.get(report[0].as_uri())
    browser.execute_script("document.querySelectorAll('details').forEach(details => details.open = true)")
    assert browser.find_elements("css selector", "#examples img")
    wide = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    colour = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert wide <= 0 and colour == "rgb(13, 17, 23)"


def test_it_asks_no_network_and_hostile_names_are_text(browser, report):
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(report[0].as_uri())
    assert browser.execute_script("return performance.getEntriesByType('navigation')[0].loadEventEnd") < 2000
    assert browser.get_log("browser") == []
    asked = [
        entry["message"] for entry in browser.get_log("performance") if "Network.requestWillBeSent" in entry["message"]
    ]
    assert asked and not any("http" in message.split('"documentURL"')[1][:40] for message in asked)
    assert HOSTILE in browser.find_element("tag name", "h1").text
    assert browser.execute_script("return document.querySelectorAll('script').length") == 1
