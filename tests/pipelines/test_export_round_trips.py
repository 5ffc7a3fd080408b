"""What boxbeam reads back of its own exports is what was there: all that the format can hold, whatever was found."""

import json
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from od_core.annotations.annotated import AnnotatedImage, Annotations
from od_core.annotations.coco import read_coco
from od_core.annotations.csv_table import read_csv
from od_core.annotations.ground_truth_set import open_ground_truth
from od_core.annotations.voc import open_voc
from od_core.annotations.yolo import open_yolo
from od_core.boxes import to_normalised
from od_core.detected_frames import read_frames
from od_core.schemas import FrameRow
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


def test_frames_of_videos_come_back_as_pictures(tmp_path: pathlib.Path) -> None:
    rows = [found_row("clip.mp4", (1, (0.1, 0.2, 0.3, 0.7), 0.5), frame=8, kind="video"), found_row("a.png")]
    found = write_detections(tmp_path / "found", rows, LABELS)
    for format, reader in (("coco", read_coco), ("voc", open_voc), ("csv", read_csv)):
        export(ExportAsk(str(found), str(tmp_path / format), format))
        assert {image.name for image in reader(str(tmp_path / format)).images()} == {"a.png", "clip.mp4/000000008.jpg"}


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
