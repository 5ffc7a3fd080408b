"""Boxes that do not lie in their image, by convert's policies."""

import pathlib

import numpy as np
import pytest

from tests.pipelines.conversions import do, failures, job, one_voc
from tests.pipelines.made_annotations import index_of, voc_object, voc_xml, write_voc

OVER, EMPTY, OUTSIDE = (-6, 2, 10, 20), (5, 5, 5, 9), (31, 2, 40, 9)


@pytest.mark.parametrize(
    ("policy", "kept", "remarks"),
    [
        (
            "clip",
            [(0, 2, 10, 20), (1, 1, 9, 9)],
            ["boxes_clipped", "empty_boxes_dropped", "outside_boxes_dropped"],
        ),
        (
            "drop",
            [(1, 1, 9, 9)],
            ["over_border_boxes_dropped", "empty_boxes_dropped", "outside_boxes_dropped"],
        ),
    ],
)
def test_boxes_that_do_not_lie_in_their_image(
    tmp_path: pathlib.Path, policy: str, kept: list[tuple[int, ...]], remarks: list[str]
) -> None:
    boxes = (OVER, EMPTY, (1, 1, 9, 9), OUTSIDE)
    one_voc(tmp_path / "in", *(voc_object("cat", box) for box in boxes))
    result = do(tmp_path / "in", tmp_path / "out", job(boxes=policy))
    (row,) = index_of(tmp_path / "out")
    found = [[item[edge] for edge in ("ymin", "xmin", "ymax", "xmax")] for item in row["objects"]]
    np.testing.assert_allclose(found, [np.divide(box, (30, 40, 30, 40)) for box in kept], atol=1e-6)
    assert [remark["kind"] for remark in row["remarks"]] == remarks
    assert row["remarks"][0]["text"] == (
        "Annotations/a.xml: object 1 (cat): its box, x 2 to 20, y -6 to 10, reaches 6 px over the border of the 40 x 30"
        " image"
    )
    counts = result.finished.manifest.counts
    assert {kind: counts[kind] for kind in remarks} == dict.fromkeys(remarks, 1)
    assert counts["boxes"] == len(kept)


@pytest.mark.parametrize("box", [OVER, EMPTY, OUTSIDE])
def test_strict_fails_an_image_with_such_a_box(tmp_path: pathlib.Path, box: tuple[float, ...]) -> None:
    write_voc(tmp_path / "in", 3)
    (tmp_path / "in/Annotations/img01.xml").write_text(voc_xml("img01.jpg", [voc_object("cat", box)]))  # type: ignore[arg-type]
    do(tmp_path / "in", tmp_path / "out", job(boxes="strict"))
    said = failures(tmp_path / "out")
    assert said.keys() == {"img01.jpg"}
    assert said["img01.jpg"].startswith("Annotations/img01.xml: object 1 (cat): its box, ")
    assert said["img01.jpg"].endswith("; correct it, or choose --boxes clip or drop")


def test_boxes_are_of_the_size_that_the_annotation_gives(tmp_path: pathlib.Path) -> None:
    one_voc(tmp_path / "in", voc_object("cat", (30, 40, 150, 240)), width=400, height=300)
    do(tmp_path / "in", tmp_path / "out", job())
    (row,) = index_of(tmp_path / "out")
    (box,) = row["objects"]
    assert [box[edge] for edge in ("ymin", "xmin", "ymax", "xmax")] == pytest.approx([0.1, 0.1, 0.5, 0.6])
    assert (row["width"], row["height"]) == (40, 30)
