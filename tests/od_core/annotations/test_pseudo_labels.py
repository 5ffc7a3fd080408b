import json

import pyarrow.parquet as pq
import pytest

from od_core.annotations.annotated import AnnotatedImage, AnnotatedObject, AnnotationFault, AnnotationNote
from od_core.annotations.detect import open_annotations
from od_core.annotations.pseudo_labels import PseudoLabels
from od_core.detections import Detections
from od_core.errors import UsageError
from od_core.schemas import FrameError, FrameRow, detections_table, ground_truth_table

LABELS = {3: "cat", 1: "dog"}
BOXES = [(0.0, 0.25, 0.5, 1.0), (0.5, 0.5, 0.75, 0.75), (0.0, 0.0, 1.0, 1.0)]


def row(key, *scores, kind="image", frame=0, classes=(3, 1, 7)):
    found = Detections.best_first(BOXES[: len(scores)], scores, classes[: len(scores)])
    return FrameRow(key, f"/in/{key}", kind, frame, width=20, height=10, detections=found)


@pytest.fixture
def write(tmp_path):
    def written(*parts, manifest=True):
        for number, rows in enumerate(parts):
            pq.write_table(detections_table(rows, LABELS), tmp_path / f"{number:05}.parquet")
        if manifest:
            (tmp_path / "manifest.json").write_text(json.dumps({}))
        return str(tmp_path)

    return written


def test_detections_are_annotations_from_a_score_on(write):
    root = write([row("a.jpg", 0.75, 0.5, 0.25)], [row("b/c.png"), row("d.jpg", 0.25)])
    found = PseudoLabels(root)
    assert (found.format, found.images_folder) == ("detections", None)
    assert {item.id: item.name for item in found.label_map.items} == {1: "dog", 3: "cat", 7: "class 7"}
    place = root.rpartition("/")[2]
    cat = AnnotatedObject("cat", BOXES[0], "detection 1", 3, features=(("class/score", 0.75),))
    dog = AnnotatedObject("dog", BOXES[1], "detection 2", 1, features=(("class/score", 0.5),))
    notes = [
        (AnnotationNote("images_with_weak_detections", f"1 of its {n} detections have scores below 0.5"),)
        for n in (3, 1)
    ]
    expected = [
        AnnotatedImage("a.jpg", root, f"{place}: a.jpg", "", None, None, (cat, dog), None, True, (), notes[0]),
        AnnotatedImage("b/c.png", root, f"{place}: b/c.png", "", None, None, (), None, True),
        AnnotatedImage("d.jpg", root, f"{place}: d.jpg", "", None, None, (), None, True, (), notes[1]),
    ]
    assert list(found.images()) == list(found.images()) == expected


@pytest.mark.parametrize(("score", "count"), [(0.0, 3), (0.25, 3), (0.251, 2), (0.75, 1), (1.0, 0)])
def test_the_score_can_be_chosen(write, score, count):
    (image,) = PseudoLabels(write([row("a.jpg", 0.75, 0.5, 0.25)]), score).images()
    assert len(image.objects) == count


def test_it_is_found_by_looking_and_one_file_will_do(write):
    root = write([row("a.jpg", 0.75)])
    assert open_annotations(root).format == "detections"
    assert open_annotations(f"{root}/00000.parquet").format == "detections"


def test_what_cannot_be_converted(write):
    broken = FrameRow("x.jpg", "/in/x.jpg", "image", 0, error=FrameError("decode", "ImageError", "it is a text"))
    rows = [
        *(row("clip.mp4", 0.75, kind="video", frame=number) for number in range(3)),
        broken,
        row("r.tfrecord", 0.75, kind="record"),
        row("../a.jpg", 0.75),
        row("z.jpg", 0.75),
    ]
    found = list(PseudoLabels(write(rows)).images())
    faults = [one for one in found if isinstance(one, AnnotationFault)]
    assert [(fault.name, fault.of_object) for fault in faults] == [
        ("clip.mp4", False),
        ("x.jpg", False),
        ("r.tfrecord", False),
        (None, False),
    ]
    assert [fault.message.partition(":")[0] for fault in faults] == [
        "it is a video, not an image file",
        "its detection failed",
        "it is a record file, not an image file",
        "the image's name '../a.jpg' leads out of the image folder",
    ]
    assert found[-1].name == "z.jpg"
    assert len(found) == 5


def test_a_dataset_without_detections_has_no_classes(write):
    assert PseudoLabels(write([row("a.jpg")])).label_map is None


def test_what_is_no_detections(write, tmp_path):
    with pytest.raises(UsageError, match="no such file or folder"):
        PseudoLabels(str(tmp_path / "none"))
    with pytest.raises(UsageError, match="no Parquet files in there"):
        PseudoLabels(str(tmp_path))
    with pytest.raises(UsageError, match=r"without manifest\.json: not finished"):
        PseudoLabels(write([row("a.jpg")], manifest=False))
    with pytest.raises(UsageError, match=r"--min_score: must be from 0 to 1, got 1\.5"):
        PseudoLabels(write([row("a.jpg")]), 1.5)
    pq.write_table(ground_truth_table([], {}), tmp_path / "truth.parquet")
    with pytest.raises(UsageError, match="no column `detections`; its columns: key, source"):
        PseudoLabels(str(tmp_path / "truth.parquet"))
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(UsageError, match="cannot be read as Parquet"):
        PseudoLabels(str(tmp_path / "text.parquet"))


def test_boxes_that_are_none(write, tmp_path):
    table = detections_table([row("a.jpg", 0.75)], LABELS)
    rows = table.to_pylist()
    rows[0]["detections"][0]["xmin"] = float("nan")
    pq.write_table(table.from_pylist(rows, table.schema), tmp_path / "nan.parquet")
    with pytest.raises(UsageError, match="its column `detections` is not as boxbeam writes it"):
        list(PseudoLabels(str(tmp_path / "nan.parquet")).images())
