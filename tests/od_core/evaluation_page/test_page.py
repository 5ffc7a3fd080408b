"""The page and its charts, from insight as evaluations leave it."""

import html.parser
import io
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import PIL.Image
import pyarrow as pa
import pytest

from od_core.detections import Detections
from od_core.evaluation_page import charts
from od_core.evaluation_page.page import CHARTS, evaluation_page, plots
from od_core.evaluation_page.png import png_of
from od_core.evaluation_page.svg import standalone
from od_core.ground_truth import GroundTruth
from od_core.insight.insight import DEFINITION, BoxInsight, Insight
from od_core.metrics.coco import CocoBoxes
from od_core.metrics.frame import EvaluatedFrame
from tests.od_core.metrics import evaluation_problems as problems

HOSTILE = '</style><script>alert("x")</script>&<b>'
NAMES = {1: "cat", 2: HOSTILE, 3: "a class with a very long name indeed, longer than there is room"}


def document_of(insight: Insight, metrics: dict[str, float] | None = None) -> dict[str, Any]:
    """metrics.json, as far as the page reads it."""
    document = {
        "metrics": {**(metrics or {}), **insight.numbers},
        "definitions": {**({"coco": CocoBoxes.definition} if metrics else {}), "insight": DEFINITION},
        "frames": {"evaluated": 8, "without_objects": 2, "unknown": 1}
        | dict.fromkeys(["without_detections", "unprocessed", "unusable", "ambiguous", "other_size"], 0),
        "names": {"unknown": [HOSTILE]},
        "detections": {"path": HOSTILE},
        "ground_truth": {"paths": [HOSTILE]},
        "insight": insight.report,
    }
    return json.loads(json.dumps(document).replace("NaN", "null"))


@pytest.fixture(scope="module")
def evaluated() -> tuple[dict[str, Any], pa.Table]:
    problem = problems.random_problem(4, frames=12)
    frames = [frame._replace(slices=(f"<i>{number % 2}",)) for number, frame in enumerate(problem.frames)]
    insight, coco = BoxInsight(NAMES, slice_kinds=["folder"]), CocoBoxes(NAMES)
    insight.update(frames)
    coco.update(frames)
    value = insight.value()
    return document_of(value, coco.value()), value.curves


class Reader(html.parser.HTMLParser):
    """The elements of a page and its text; elements must be closed in their order."""

    VOID = ("meta", "!doctype")

    def __init__(self, page: str):
        super().__init__()
        self.elements: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append(tag)
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.elements.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.words.append(data)


def test_a_page_without_scripts_and_without_the_network(evaluated: tuple[dict[str, Any], pa.Table]) -> None:
    page = evaluation_page(*evaluated)
    read = Reader(page)
    assert {"script", "b", "i", "img", "link", "iframe"} & set(read.elements) == {"b"}  # those of the tiles
    assert read.elements.count("svg") == len(CHARTS)
    assert set(re.findall(r"\w+://[^\"' ]+", page)) == {"http://www.w3.org/2000/svg"}
    assert "url(" not in page
    assert "@import" not in page
    assert page == evaluation_page(*evaluated)


def test_names_are_shown_as_they_are(evaluated: tuple[dict[str, Any], pa.Table]) -> None:
    words = Reader(evaluation_page(*evaluated)).words
    assert words.count(HOSTILE) == 2  # the class, and an unknown frame
    assert f"{HOSTILE} against {HOSTILE}" in words
    assert "<i>0" in words


def test_the_numbers_are_there(evaluated: tuple[dict[str, Any], pa.Table]) -> None:
    document, _ = evaluated
    page = evaluation_page(*evaluated)
    best = document["insight"]["overall"]["best_f1"]
    assert f"<b>{best['f1']:.4f}</b>best F1" in page
    assert f"<b>{document['metrics']['DetectionBoxes_Precision/mAP']:.4f}</b>mAP (COCO)" in page
    for name, x in document["metrics"].items():
        if "PerformanceByCategory" not in name:
            assert f"<td>{name}</td><td>{'–' if x in (None, -1) else f'{x:.4f}'}</td>" in page
    assert "COCO (pycocotools): average precision" in page
    for one in document["insight"]["classes"]:
        assert (
            f"<td>{one['objects']:,}</td><td>{one['detections']:,}</td><td>{one['average_precision']:.4f}</td>" in page
        )
    assert "By folder" in page


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_a_file_of_its_own_with_everything_inside(
    evaluated: tuple[dict[str, Any], pa.Table], name: str
) -> None:
    document, curves = evaluated
    drawn = plots(document["insight"], curves)
    assert sorted(drawn) == sorted(f"{name}.svg" for name in CHARTS)
    svg = drawn[f"{name}.svg"]
    assert "var(" not in svg  # many viewers know no variables
    root = ElementTree.fromstring(svg)
    places = [(float(x), float(y)) for x, y in re.findall(r'\b(?:x|cx)="([\d.-]+)" (?:y|cy)="([\d.-]+)"', svg)]
    places += [
        (float(x), float(y))
        for line in re.findall(r'points="([^"]*)"', svg)
        for x, y in (point.split(",") for point in line.split())
    ]
    assert len(places) > 5
    left, top, width, height = map(float, root.attrib["viewBox"].split())
    assert all(left <= x <= left + width and top <= y <= top + height for x, y in places)
    assert root[3].text == root[0].text  # the title can be read


def test_a_curve_is_drawn_where_its_points_are() -> None:
    """One class, right at 0.9 and wrong at 0.8: from recall 1 at precision 1 down to 1/2."""
    frame = EvaluatedFrame(
        "a", 9, 9, GroundTruth.of([[0, 0, 1, 1]], [1]),
        Detections.best_first([[0, 0, 1, 1], [2, 2, 3, 3]], [0.9, 0.8], [1, 1]),
    )  # fmt: skip
    insight = BoxInsight({1: "cat"})
    insight.update([frame])
    value = insight.value()
    svg = charts.precision_recall(document_of(value)["insight"], value.curves)
    lines = re.findall(r'points="([^"]*)"', svg)
    assert lines == ["60.0,20.0 400.0,20.0 400.0,170.0"] * 2  # the frame is at 60, 20 and 340 by 300
    assert 'cx="400.0" cy="20.0"' in svg
    assert "cat, AP 1.000" in svg
    errors = charts.errors(document_of(value)["insight"])
    assert "background" in errors
    assert "+0.0000 AP, 1 errors" in errors


def test_a_chart_as_a_png_file() -> None:
    """Two bars of which one is half as long, at twice the size, below a title."""
    kinds = [{"kind": "class", "count": 2, "cost": 0.4}, {"kind": "\x0bmissed\ud800", "count": 1, "cost": 0.2}]
    with PIL.Image.open(io.BytesIO(png_of(standalone(charts.errors({"errors": kinds}))))) as image:
        assert (image.format, image.size) == ("PNG", (2 * 660, 2 * (20 + 2 * 34 + 34)))
        pixels = np.array(image.convert("RGB"))
    bar = (pixels == (0x25, 0x63, 0xAF)).all(axis=2)
    first, second = bar[2 * (34 + 31)], bar[2 * (34 + 65)]  # through the middles of the bars
    assert np.flatnonzero(first)[[0, -1]].tolist() == [2 * 130, 2 * 430 - 1]
    assert np.flatnonzero(second)[[0, -1]].tolist() == [2 * 130, 2 * 280 - 1]
    is_ink = (pixels < 128).all(axis=2)
    assert is_ink[: 2 * 30, 2 * 200 : 2 * 460].any()  # the title
    assert is_ink[2 * 40 : 2 * 100, : 2 * 125].any()  # what the bars are
    assert (pixels[:, -10:] == 255).all()


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_can_be_drawn(evaluated: tuple[dict[str, Any], pa.Table], name: str) -> None:
    document, curves = evaluated
    svg = plots(document["insight"], curves)[f"{name}.svg"]
    width, height = (int(size) for size in re.findall(r'\b(?:width|height)="(\d+)"', svg)[:2])
    with PIL.Image.open(io.BytesIO(png_of(svg))) as image:
        assert image.size == (2 * width, 2 * height)
        assert len(image.convert("RGB").getcolors(1 << 24)) > 10
    turned = re.search(r"<text[^>]*rotate[^>]*>", svg)
    assert (turned is None) == (name == "errors")


def test_many_classes_are_pooled_and_none_is_lost() -> None:
    names = {class_id: f"class {class_id:02d}" for class_id in range(1, 31)}
    cells = [{"truth": names[id], "found": names[id], "count": 100} for id in names]
    cells += [{"truth": names[id], "found": names[31 - id], "count": 5 + id} for id in names]
    cells += [{"truth": None, "found": names[1], "count": 9}, {"truth": names[2], "found": None, "count": 1234567}]
    classes = [{"id": id, "name": name} for id, name in names.items()]
    svg = charts.confusion({"classes": classes, "confusion": {"cells": cells}})
    titles = re.findall(r"<title>([^<]+) found as ([^<]+): ([\d,]+) \(", svg)
    assert sum(int(count.replace(",", "")) for _, _, count in titles) == sum(cell["count"] for cell in cells)
    assert {truth for truth, _, _ in titles} == {found for _, found, _ in titles}
    assert len({truth for truth, _, _ in titles}) == 14 + 2  # and the other ones, and nothing
    assert "1234k" in svg


def test_an_evaluation_that_came_to_nothing() -> None:
    empty = BoxInsight(NAMES).value()
    assert all(math.isnan(x) for x in empty.numbers.values())
    page = evaluation_page(document_of(empty), empty.curves)
    assert "nan" not in " ".join(Reader(page).words).casefold().split()
    assert "<b>–</b>best F1" in page
