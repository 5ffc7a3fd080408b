"""evaluation.html in a real browser: it can be read by day and by night, on a desk and on a telephone."""

import json
import pathlib

import pytest

from od_core.evaluation_page.page import evaluation_page
from od_core.evaluation_page.svg import COLOURS
from od_core.insight.insight import DEFINITION, BoxInsight
from od_core.metrics.coco import CocoBoxes
from tests.browser.chromium import Chromium
from tests.od_core.metrics import evaluation_problems as problems

HOSTILE = "</style><script>document.title = 'stolen'</script>"

CONTRAST = """
(name) => {
  const light = (colour) => {
    const parts = colour.trim().match(/[0-9a-f]{2}/gi).map((part) => parseInt(part, 16) / 255);
    const linear = parts.map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const style = getComputedStyle(document.documentElement);
  const [low, high] = ["--paper", name].map((one) => light(style.getPropertyValue(one))).sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}
"""
"""WCAG 2's contrast of one of the page's colours with its paper."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    problem = problems.random_problem(4, frames=12)
    names = {1: "cat", 2: HOSTILE, 3: "a class with a very long name indeed, longer than there is room"}
    insight, coco = BoxInsight(names), CocoBoxes(names)
    insight.update(problem.frames)
    coco.update(problem.frames)
    value = insight.value()
    document = {
        "metrics": {**coco.value(), **value.numbers},
        "definitions": {"coco": CocoBoxes.definition, "insight": DEFINITION},
        "frames": dict.fromkeys(
            ("evaluated", "without_objects", "without_detections", "unprocessed", "unusable", "unknown", "ambiguous"), 1
        )
        | {"other_size": 1},
        "names": {"unknown": ["a/rather/long/path/" + 6 * "of_an_image_" + ".jpg"]},
        "detections": {"path": "/found" + 5 * "/in_a_folder_of_some_length"},
        "ground_truth": {"paths": ["/truth"]},
        "insight": value.report,
    }
    path = tmp_path_factory.mktemp("page") / "evaluation.html"
    text = json.dumps(document).replace("NaN", "null")
    path.write_text(evaluation_page(json.loads(text), value.curves), encoding="utf-8")
    return path.as_uri()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_can_be_read(browser: Chromium, page: str, width: int, dark: bool, tmp_path: pathlib.Path) -> None:
    browser.resize(width, 800, dark=dark)
    browser.open(page)
    browser.wait("document.querySelectorAll('svg').length === 5")
    is_dark = browser.run("getComputedStyle(document.documentElement).getPropertyValue('--paper')") != "#ffffff"
    assert is_dark is dark
    for name in ("--ink", "--soft"):
        assert browser.run(f"({CONTRAST})('{name}')") >= 4.5, name
    for name in ("--mark", *(f"--c{number}" for number in range(COLOURS))):
        assert browser.run(f"({CONTRAST})('{name}')") >= 3, name
    # Wide charts and tables scroll for themselves, the page does not.
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("[...document.querySelectorAll('h2')].map((h) => h.textContent)")[:2] == [
        "Precision and recall",
        "Classes",
    ]
    narrowest = "Math.min(...[...document.querySelectorAll('td:first-child')].map((cell) => cell.offsetWidth))"
    assert browser.run(narrowest) >= 100  # names are not broken after every letter
    assert HOSTILE in browser.run("document.body.innerText")
