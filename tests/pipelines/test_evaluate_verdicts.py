"""Verdicts as boxbeam evaluate --verdicts writes them."""

import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_jobs import evaluate
from od_core.ground_truth import GroundTruth
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.verdict_rows import VERDICTS
from od_core.metrics.verdicts import Verdict, verdicts_of
from pipelines.evaluate import verdicts as evaluate_verdicts
from tests.pipelines import evaluation_files as files
from tests.pipelines.evaluation_files import CORNER, LEFT, WHOLE, found_row, truth_row


def written(folder: pathlib.Path, found, truth, *options: str, row_group: int = 2) -> pa.Table:
    """The file that an evaluation leaves."""
    number = len(list(folder.iterdir()))
    found = files.write_detections(folder / f"found{number}", found, row_group=row_group)
    truth = files.write_truth(folder / f"truth{number}.parquet", truth)
    argv = ["--detections", found, "--ground_truth", truth, "--output", folder / "scores", "--verdicts", *options]
    assert evaluate.main([str(argument) for argument in argv]) == 0
    return pq.read_table(folder / "scores/verdicts.parquet")


def test_every_column(tmp_path):
    """Right, of the wrong class, ignored, background and missed; a class that the ground truth lacks has no row."""
    found = [
        found_row("r1", (3, WHOLE, 0.95), (2, WHOLE, 0.9), (1, WHOLE, 0.8), (1, CORNER, 0.7), kind="record"),
        found_row("r2", (2, CORNER, 0.6), kind="record")._replace(record_index=1),
    ]
    objects = GroundTruth.of([WHOLE, LEFT, CORNER], [1, 2, 2], difficult=[False, False, True])
    truth = [truth_row("r1", (1, WHOLE)), truth_row("r2", size=(300, 400))._replace(objects=objects)]
    table = written(tmp_path, found, truth)
    assert table.schema.equals(VERDICTS, check_metadata=True)
    assert table.drop_columns(["ymin", "xmin", "ymax", "xmax"]).to_pylist() == [
        row("r1", 0, "fp", 2, 0.9, 1.0, 1, 0, 1, reason="class"),
        row("r1", 0, "tp", 1, 0.8, 1.0, 2, 0, 1),
        row("r1", 0, "fp", 1, 0.7, None, 3, None, None, reason="background"),
        row("r2", 1, "ignored", 2, 0.6, 1.0, 0, 2, 2, size=(300, 400)),
        row("r2", 1, "fn", 1, None, None, None, 0, 1, size=(300, 400)),
        row("r2", 1, "fn", 2, None, None, None, 1, 2, size=(300, 400)),
    ]
    boxes = [
        [round(edge, 6) for edge in box] for box in zip(*(table.column(e).to_pylist() for e in EDGES), strict=True)
    ]
    assert boxes == [list(box) for box in (WHOLE, WHOLE, CORNER, CORNER, WHOLE, LEFT)]


EDGES = ("ymin", "xmin", "ymax", "xmax")


def row(key, record, verdict, class_id, score, iou, place, object_index, object_class, *, reason=None, size=(200, 100)):
    return {
        "key": key,
        "frame_index": 0,
        "record_index": record,
        "width": size[0],
        "height": size[1],
        "verdict": verdict,
        "reason": reason,
        "class_id": class_id,
        "label": files.LABELS[class_id],
        "score": pytest.approx(score) if score else None,
        "iou": pytest.approx(iou) if iou else None,
        "detection_index": place,
        "object_index": object_index,
        "object_class_id": object_class,
        "object_label": files.LABELS.get(object_class),
    }


def test_they_are_those_of_the_frames_in_the_order_of_the_rows(tmp_path, monkeypatch):
    """Whatever the row groups of the detections, and in row groups of its own."""
    monkeypatch.setattr(evaluate_verdicts, "_GROUP_ROWS", 16)
    found, truth = files.random_rows(3, 40)
    objects = {row.key: row.objects for row in truth}
    wanted = []
    for row in found:
        verdicts = verdicts_of(EvaluatedFrame(row.key, 100, 200, objects[row.key], row.detections))
        wanted += [(row.key, Verdict(verdict).word) for verdict in verdicts.found.tolist()]
        wanted += [(row.key, "fn") for verdict in verdicts.truth.tolist() if verdict == Verdict.FN]
    table = written(tmp_path, found, truth)
    assert list(zip(table.column("key").to_pylist(), table.column("verdict").to_pylist(), strict=True)) == wanted
    assert {verdict for _, verdict in wanted} == {"tp", "fp", "fn"}
    file = pq.ParquetFile(tmp_path / "scores/verdicts.parquet")
    sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert sizes == [16] * (len(wanted) // 16) + [len(wanted) % 16]
    before = (tmp_path / "scores/verdicts.parquet").read_bytes()
    written(tmp_path, found, truth, row_group=5)
    assert (tmp_path / "scores/verdicts.parquet").read_bytes() == before


def test_frames_of_a_video(tmp_path):
    found = [found_row("v.mp4", (1, WHOLE, 0.9), frame=n, kind="video") for n in (4, 5)]
    table = written(tmp_path, found, [truth_row("v.mp4", (1, LEFT), frame=5, kind="video")], "--iou", "0.6")
    assert table.select(["key", "frame_index", "record_index", "verdict", "reason"]).to_pylist() == [
        {"key": "v.mp4", "frame_index": 5, "record_index": None, "verdict": "fp", "reason": "localisation"},
        {"key": "v.mp4", "frame_index": 5, "record_index": None, "verdict": "fn", "reason": None},
    ]


def test_detections_that_are_not_best_first_keep_their_places(tmp_path):
    """Files from elsewhere; they may also lack the number of the record."""
    rows = [found_row("a.jpg", (1, WHOLE, 0.9), (2, WHOLE, 0.8), (1, CORNER, 0.7))]
    folder = files.write_detections(tmp_path / "found", rows)
    table = pq.read_table(folder / "00000.parquet").drop_columns(["record_index"])
    lists = table.column("detections").to_pylist()
    lists[0].reverse()
    type = table.schema.field("detections").type
    index = table.schema.get_field_index("detections")
    pq.write_table(table.set_column(index, "detections", pa.array(lists, type)), folder / "00000.parquet")
    truth = files.write_truth(tmp_path / "truth.parquet", [truth_row("a.jpg", (1, WHOLE), (2, LEFT))])
    argv = ["--detections", folder, "--ground_truth", truth, "--output", tmp_path / "scores", "--verdicts"]
    assert evaluate.main([str(argument) for argument in argv]) == 0
    table = pq.read_table(tmp_path / "scores/verdicts.parquet")
    assert table.column("detection_index").to_pylist() == [2, 1, 0]
    assert table.column("score").to_pylist() == pytest.approx([0.9, 0.8, 0.7])
    assert table.column("verdict").to_pylist() == ["tp", "tp", "fp"]


def test_nothing_to_say_is_a_file_without_rows(tmp_path):
    truth = [truth_row("a.jpg", (1, WHOLE)), truth_row("b.jpg")]
    table = written(tmp_path, [found_row("b.jpg")], truth, "--allow_missing")
    assert (table.num_rows, table.schema.names) == (0, VERDICTS.names)


def test_those_of_an_earlier_evaluation_do_not_stay(tmp_path):
    found, truth = [found_row("a.jpg", (1, WHOLE, 0.9))], [truth_row("a.jpg", (1, WHOLE))]
    written(tmp_path, found, truth)
    found, truth = (str(next(tmp_path.glob(name))) for name in ("found*", "truth*"))
    argv = ["--detections", found, "--ground_truth", truth, "--output", str(tmp_path / "scores")]
    assert evaluate.main([*argv, "--numbers_only"]) == 0
    assert [path.name for path in (tmp_path / "scores").iterdir()] == ["metrics.json"]
    assert "definitions" in json.loads((tmp_path / "scores/metrics.json").read_text())


@pytest.mark.parametrize("iou", ["0.1", "1.5", "-1", "half", "nan"])
def test_an_overlap_that_makes_no_sense_is_refused(tmp_path, capsys, iou):
    with pytest.raises(SystemExit) as ended:
        evaluate.main(["--detections", "x", "--ground_truth", "y", "--output", str(tmp_path / "z"), "--iou", iou])
    assert ended.value.code == 2
    assert "argument --iou: must be" in capsys.readouterr().err
