"""What boxbeam reads back of its own exports is what was there: all that the format can hold, whatever was found."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import hypothesis
import numpy as np
import pycocotools.mask
import pytest
from hypothesis import strategies as st
from PIL import Image
from pycocotools.coco import COCO

from od_core.annotations.annotated import AnnotatedImage, Annotations
from od_core.annotations.coco import read_coco
from od_core.annotations.csv_table import read_csv
from od_core.annotations.ground_truth_set import open_ground_truth
from od_core.annotations.voc import open_voc
from od_core.annotations.yolo import open_yolo
from od_core.boxes import to_normalised
from od_core.detected_frames import read_frames
from od_core.detections import Detections
from od_core.errors import UsageError
from od_core.review.shapes import shapes_of
from od_core.schemas import FrameRow, ground_truths_of
from pipelines.evaluate.detection_forms import open_detections
from pipelines.export import ExportAsk, export
from tests.pipelines.evaluation_files import found_row, truth_row, write_detections, write_truth

LABELS = {1: "cat", 2: "<dog> & 'co', \"x\"", 7: "船 é"}
EXACT = 0.0

# Letters that file systems, XML, CSV and YAML each have their trouble with; keys end like images.
PARTS = st.text("ab é日&<>'\",;#%[]{}~=-", min_size=1, max_size=6).map(lambda text: f"x{text.strip()}x")
KEYS = st.lists(PARTS, min_size=1, max_size=3).map(lambda parts: f"{'/'.join(parts)}.png")
EDGES = st.lists(st.floats(2**-20, 1, width=32), min_size=4, max_size=4).map(
    lambda e: (min(e[0], e[2]), min(e[1], e[3]), max(e[0], e[2]), max(e[1], e[3]))
)
SCORES = st.floats(2**-20, 1, width=32)
BOXES = st.lists(st.tuples(st.sampled_from(sorted(LABELS)), EDGES, SCORES), max_size=4)
SIZES = st.tuples(st.integers(1, 20_000), st.integers(1, 20_000))
ROWS = st.dictionaries(KEYS, st.tuples(BOXES, SIZES), min_size=1, max_size=4).map(
    lambda images: [found_row(key, *boxes, size=size) for key, (boxes, size) in images.items()]
)


class Read(NamedTuple):
    """An image as read back: its size, and of every box its label, edges and, if the format has it, score."""

    size: tuple[int | None, int | None]
    labels: Sequence[str]
    edges: np.ndarray
    scores: Sequence[float]


def read_images(annotations: Annotations, rows: Sequence[FrameRow]) -> Iterator[tuple[str, Read]]:
    sizes = {row.key: (row.height, row.width) for row in rows}
    for image in annotations.images():
        assert isinstance(image, AnnotatedImage), image
        edges = np.array([one.box_px for one in image.objects]).reshape(-1, 4)
        if not image.normalised:
            edges = to_normalised(edges, *sizes[image.name])
        scores = [float(value) for one in image.objects for name, value in one.features if name == "class/score"]
        yield image.name, Read((image.width, image.height), [one.label for one in image.objects], edges, scores)


def round_trip(
    folder: pathlib.Path, rows: Sequence[FrameRow], format: str, reader: Callable[[str], Annotations], **options: object
) -> Mapping[str, Read]:
    found = write_detections(folder / "found", rows, LABELS)
    output = folder / {"coco": "x.json", "csv": "x.csv"}.get(format, "x")
    export(ExportAsk(str(found), str(output), format, **options))
    if format == "yolo":  # its data sets are folders of images
        for row in rows:
            path = output / "images" / row.key
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (2, 2)).save(path)
    return dict(read_images(reader(str(output)), rows))


@pytest.mark.parametrize(
    ("format", "reader", "options", "has_sizes", "has_scores", "off"),
    [
        ("coco", read_coco, {}, True, False, EXACT),
        ("voc", open_voc, {}, True, False, EXACT),
        ("csv", read_csv, {}, True, True, EXACT),
        ("yolo", open_yolo, {"with_scores": True}, False, True, 2e-8),  # corners are sums of centre and size there
    ],
)
@hypothesis.given(ROWS)
@hypothesis.settings(
    max_examples=25, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
def test_nothing_is_lost_that_the_format_can_hold(
    tmp_path_factory: pytest.TempPathFactory,
    format: str,
    reader: Callable[[str], Annotations],
    options: Mapping[str, object],
    has_sizes: bool,
    has_scores: bool,
    off: float,
    rows: Sequence[FrameRow],
) -> None:
    hypothesis.assume(format != "yolo" or any(len(row.detections or ()) for row in rows))  # a data set has classes
    images = round_trip(tmp_path_factory.mktemp("trip"), rows, format, reader, **options)
    assert set(images) == {row.key for row in rows}
    for row in rows:
        read, found = images[row.key], row.detections
        assert found is not None
        assert read.labels == [LABELS[class_id] for class_id in found.classes.tolist()]
        np.testing.assert_allclose(read.edges.astype(np.float32), found.boxes, rtol=0, atol=off)
        if has_sizes:
            assert read.size == (row.width, row.height)
        if has_scores:
            assert np.float32(read.scores).tolist() == found.scores.tolist()


@pytest.mark.parametrize("format", ["coco", "tf_example"])
@hypothesis.given(ROWS)
@hypothesis.settings(max_examples=15, deadline=None)
def test_evaluate_reads_the_detections_that_were(
    tmp_path_factory: pytest.TempPathFactory, format: str, rows: Sequence[FrameRow]
) -> None:
    """COCO results beside the ground truth whose ids they have, with classes numbered in another way; and TFRecords."""
    folder = tmp_path_factory.mktemp("results")
    found = write_detections(folder / "found", rows, LABELS)
    factor = 10 if format == "coco" else 1
    images = [
        {"id": 100 + number, "file_name": row.key, "width": row.width, "height": row.height}
        for number, row in enumerate(rows)
    ]
    categories = [{"id": factor * class_id, "name": name} for class_id, name in LABELS.items()]
    truth = {"images": images, "annotations": [], "categories": categories}
    (folder / "truth.json").write_text(json.dumps(truth))
    output = str(folder / ("r.json" if format == "coco" else "r.tfrecord"))
    export(ExportAsk(str(found), output, format, ground_truth=str(folder / "truth.json")))
    (folder / "copy").mkdir()
    back = open_detections(output, open_ground_truth(str(folder / "truth.json")), str(folder / "copy"))
    frames = {frame.key: frame.detections for path in back.files for frame in read_frames(path)}
    assert set(frames) == {row.key for row in rows}
    for row in rows:
        read, was = frames[row.key], row.detections
        assert read is not None
        assert was is not None
        assert read.classes.tolist() == (factor * was.classes).tolist()
        assert read.scores.tolist() == was.scores.tolist()
        np.testing.assert_array_equal(read.boxes, was.boxes)


def shaped_row(key: str, rng: np.random.Generator, count: int, size: tuple[int, int]) -> FrameRow:
    """Detections with masks, of which one is empty and one is none at all, and keypoints, of which one is not known."""
    width, height = size
    inside = [rng.random((height, width)) < share for share in (0.5, 0.02, 0, *rng.random(count))][:count]
    masks = [pycocotools.mask.encode(np.asfortranarray(one, np.uint8))["counts"] for one in inside]
    points = rng.random((count, 3, 3), np.float32)
    points[:, 1] = np.nan
    row = found_row(key, *[(1 + 6 * (n % 2), (0.1, 0.2, 0.3, 0.7), 0.9 - n / 50) for n in range(count)], size=size)
    assert row.detections is not None
    shapes = {"masks": (*masks[:-1], b"") if masks else None, "keypoints": points}
    return row._replace(detections=dataclasses.replace(row.detections, **shapes))


def test_masks_and_keypoints_are_in_coco_where_pycocotools_and_boxbeam_read_them(tmp_path: pathlib.Path) -> None:
    rng = np.random.default_rng(3)
    rows = [shaped_row(f"{n}.png", rng, count, (31 + n, 17)) for n, count in enumerate((5, 0, 2))]
    rows.append(found_row("plain.png", (1, (0, 0, 1, 1), 0.5)))
    found = str(write_detections(tmp_path / "found", rows, LABELS))
    whole, results = str(tmp_path / "whole.json"), str(tmp_path / "results.json")
    assert export(ExportAsk(found, whole, "coco")).notes == ()
    export(ExportAsk(found, results, "coco", ground_truth=whole))
    truth = COCO(whole)
    assert truth.cats[7]["keypoints"] == ["keypoint 1", "keypoint 2", "keypoint 3"]
    for one in (truth, truth.loadRes(results)):
        annotations = iter(one.loadAnns(sorted(one.getAnnIds())))
        for row, detections in ((row, row.detections or Detections.empty()) for row in rows):
            for n in range(len(detections)):
                told = next(annotations)
                if not detections.masks or not detections.masks[n]:  # loadRes makes a box of those that have none
                    assert not isinstance(told.get("segmentation"), dict)
                    continue
                assert one.annToRLE(told) == {"size": [row.height, row.width], "counts": detections.masks[n].decode()}
                x, y, seen = np.array(told["keypoints"]).reshape(-1, 3).T
                assert (seen > 0).tolist() == [True, False, True]
                read = np.stack([y / row.height, x / row.width], axis=1).astype(np.float32)
                np.testing.assert_array_equal(read[[0, 2]], detections.keypoints[n][[0, 2], :2])
                assert told.get("area") == pycocotools.mask.area(one.annToRLE(told)) or one is not truth
        assert next(annotations, None) is None
    annotated = [truth for table in open_ground_truth(whole, masks=True).tables() for truth in ground_truths_of(table)]
    assert [len(one) for one in annotated if one] == [5, 2, 1]
    (tmp_path / "copy").mkdir()
    back = open_detections(results, open_ground_truth(whole), str(tmp_path / "copy"))
    frames = {frame.key: frame.detections for path in back.files for frame in read_frames(path, with_shapes=True)}
    assert {key: list(found.masks or ()) for key, found in frames.items() if found is not None} == {
        row.key: list(row.detections.masks or ()) for row in rows if row.detections is not None
    }


@pytest.mark.parametrize("mask", [b"garbage!", b"\xff\xfe", b"zzzzzzzzzzzz"])
def test_masks_that_are_none_are_refused_by_name(tmp_path: pathlib.Path, mask: bytes) -> None:
    row = shaped_row("a/b.png", np.random.default_rng(0), 3, (20, 10))
    assert row.detections is not None
    row = row._replace(detections=dataclasses.replace(row.detections, masks=(row.detections.masks[0], mask, b"")))
    found = write_detections(tmp_path / "found", [row], LABELS)
    with pytest.raises(UsageError, match=r"'a/b\.png': the mask of detection 1 is none of an image of 20 x 10 pixels"):
        export(ExportAsk(str(found), str(tmp_path / "x.json"), "coco"))
    assert [bool(rings) for rings, _ in shapes_of(row.detections, 10, 20)] == [True, False, False]


@pytest.mark.parametrize("format", ["voc", "yolo", "csv", "megadetector", "tf_example"])
def test_what_a_format_has_no_place_for_is_told(tmp_path: pathlib.Path, format: str) -> None:
    rows = [shaped_row("a.png", np.random.default_rng(0), 4, (20, 10)), found_row("b.png")]
    found = write_detections(tmp_path / "found", rows, LABELS)
    notes = export(ExportAsk(str(found), str(tmp_path / "x"), format)).notes
    assert notes == (f"the dataset's 4 masks and keypoints left out, {format} has no place for them",)


def test_frames_of_videos_come_back_as_pictures(tmp_path: pathlib.Path) -> None:
    rows = [found_row("clip.mp4", (1, (0.1, 0.2, 0.3, 0.7), 0.5), frame=8, kind="video"), found_row("a.png")]
    found = write_detections(tmp_path / "found", rows, LABELS)
    for format, reader in (("coco", read_coco), ("voc", open_voc), ("csv", read_csv)):
        export(ExportAsk(str(found), str(tmp_path / format), format))
        assert {image.name for image in reader(str(tmp_path / format)).images()} == {"a.png", "clip.mp4/000000008.jpg"}


def test_ids_of_ground_truth_without_names_are_those_of_its_own_label_map(tmp_path: pathlib.Path) -> None:
    """It numbers the classes the other way round; 3 is none of its label map, whatever the detections call so."""
    from od_core.records.examples import parse_ground_truth
    from od_core.records.tfrecord import read_records

    edges = (0.1, 0.2, 0.3, 0.7)
    found = write_detections(
        tmp_path / "found",
        [found_row("a.png", *[(id, edges, 0.5) for id in (1, 2, 3)])],
        {1: "cat", 2: "dog", 3: "bird"},
    )
    truth = write_truth(tmp_path / "truth/truth.parquet", [truth_row("a.png", (1, edges), (2, edges), (3, edges))], {})
    (truth.parent / "label_map.pbtxt").write_text("item { id: 1 name: 'dog' } item { id: 2 name: 'cat' }")
    output = tmp_path / "x.tfrecord"
    done = export(ExportAsk(str(found), str(output), "tf_example", ground_truth=str(truth.parent)))
    assert done.notes == ("1 objects left out, the detections' label map lacks their class",)
    with open(output, "rb") as file:
        (record,) = [record for _, record in read_records(file)]
    assert parse_ground_truth(record).classes.tolist() == [2, 1]


def test_ground_truth_beside_detections_is_that_of_the_records(tmp_path: pathlib.Path) -> None:
    """tf_example: boxes to the last bit, under the detections' ids; what is not annotated has no objects at all."""
    from od_core.records.examples import parse_ground_truth
    from od_core.records.tfrecord import read_records

    edges = (0.1, 0.2, 0.3, 0.7)
    found = write_detections(tmp_path / "found", [found_row("a.png", (7, edges, 0.5)), found_row("b.png")], LABELS)
    row = truth_row("a.png", (1, edges), (2, edges))
    truth = write_truth(tmp_path / "truth.parquet", [row], {1: LABELS[7], 2: "yeti"})
    output = tmp_path / "x.tfrecord"
    done = export(ExportAsk(str(found), str(output), "tf_example", ground_truth=str(truth)))
    assert done.notes == (
        *("1 images without ground truth, which have detections alone",),
        *("1 objects left out, the detections' label map lacks their class",),
    )
    with open(output, "rb") as file:
        first, second = [record for _, record in read_records(file)]
    objects = parse_ground_truth(first)
    assert objects.classes.tolist() == [7]
    assert objects.boxes.tolist() == [list(np.float32(edges))]
    assert len(parse_ground_truth(second)) == 0
    assert b"image/object" not in second
