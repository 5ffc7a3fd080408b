"""The graph of evaluate and its parts, without the command."""

import functools
import pickle
import shutil

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.internal import pickler
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import given
from hypothesis import strategies as st

from od_core.annotations.ground_truth_set import open_ground_truth
from od_core.errors import StorageError, UsageError
from od_core.ground_truth import GroundTruth
from od_core.label_map import LabelMap, LabelMapItem
from od_core.metrics.coco import CocoBoxes
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.voc import PascalBoxes
from pipelines.engine import Engine
from pipelines.evaluate.ask import EvaluationAsk, planned_from
from pipelines.evaluate.classes import NO_CLASS, ClassCodes, classes_of
from pipelines.evaluate.detections import RowGroup, find_detections
from pipelines.evaluate.frames import DetectionClasses, row_frames
from pipelines.evaluate.graph import FrameBatch, MetricsFn, ReadFrames, build, run
from pipelines.evaluate.join import FramesByKey, Named
from pipelines.evaluate.plan import plan_evaluation
from pipelines.evaluate.planning import build as build_plan
from pipelines.evaluate.truth import WorkerTruth, frame_names, read_truth
from tests.pipelines import evaluation_files as files

FACTORIES = [functools.partial(CocoBoxes, files.LABELS), functools.partial(PascalBoxes, files.LABELS)]


@pytest.fixture
def planned(tmp_path):
    """A plan of 30 random frames, its frames as they should be read, and a folder."""
    found, truth = files.random_rows(11, 30)
    detections = find_detections(str(files.write_detections(tmp_path / "found", found)))
    opened = open_ground_truth(str(files.write_truth(tmp_path / "truth.parquet", truth)))
    plan = plan_evaluation(detections, opened, str(tmp_path / "work"), allow_missing=False)
    by_key = {row.key: row for row in found}
    frames = [EvaluatedFrame(row.key, 100, 200, row.objects, by_key[row.key].detections) for row in truth]
    return plan, frames, tmp_path


def values_of(frames):
    metrics = MetricsFn(FACTORIES)
    return metrics.extract_output(metrics.add_input(metrics.create_accumulator(), FrameBatch(frames)))


def test_the_graph_gives_the_numbers_of_the_frames(planned):
    plan, frames, folder = planned
    assert len(list(plan.detections.row_groups())) > 10  # else it would not show that parts are merged
    values = run(plan, FACTORIES, Engine(), str(folder / "values.json"))
    assert values == values_of(frames)
    assert list(values) == ["coco", "voc10"]


def test_the_graphs_do_not_grow_with_the_number_of_images(tmp_path):
    """Files, row groups and names are found on workers."""

    def sizes(count):
        found, truth = files.random_rows(7, count)
        shutil.rmtree(tmp_path / "found", ignore_errors=True)
        detections = str(files.write_detections(tmp_path / "found", found))
        path = str(files.write_truth(tmp_path / "truth.parquet", truth))
        ask = EvaluationAsk(detections, (path,))
        planning, evaluating = (beam.Pipeline(runner=FnApiRunner()) for _ in range(2))
        build_plan(planning, ask, str(tmp_path), str(tmp_path / "plan.json"))
        planned = planned_from(ask.plan(str(tmp_path / "work")).to_text())
        assert planned.plan.evaluated == count
        build(evaluating, planned.plan, FACTORIES, str(tmp_path / "values.json"))
        return [len(graph.to_runner_api().SerializeToString()) for graph in (planning, evaluating)]

    for small, large in zip(sizes(10), sizes(200), strict=True):
        assert 2_000 < small < 100_000
        assert abs(large - small) < 64  # a random key within compresses to more or to less


def test_frames_are_read_once_each_with_their_ground_truth(planned):
    plan, frames, _ = planned
    pipeline = beam.Pipeline(runner=FnApiRunner())
    wanted = {frame.name: frame for frame in frames}

    def check(batches):
        read = [frame for batch in batches for frame in batch]
        assert sorted(frame.name for frame in read) == sorted(wanted)
        for frame in read:
            other = wanted[frame.name]
            assert (frame.height, frame.width, frame.found) == (other.height, other.width, other.found)
            assert np.array_equal(frame.truth.boxes, other.truth.boxes)
            assert np.array_equal(frame.truth.classes, other.truth.classes)

    read = pipeline | beam.Create(list(plan.detections.row_groups())) | ReadFrames(plan)
    read | beam.combiners.ToList() | beam.Map(check)
    result = pipeline.run()
    result.wait_until_finish()
    (counter,) = result.metrics().query(beam.metrics.MetricsFilter().with_name("frames_evaluated"))["counters"]
    assert counter.committed == 30


def test_a_row_group_of_more_rows_than_are_read_at_once(tmp_path):
    """Thousands of rows, of which every third failed: rows and their ground truth stay together."""
    found, truth = files.random_rows(5, 2500)
    rows = [files.failed_row(row.key) if number % 3 == 0 else row for number, row in enumerate(found)]
    folder = files.write_detections(tmp_path / "found", rows, row_group=5000, per_file=5000)
    detections = find_detections(str(folder))
    opened = open_ground_truth(str(files.write_truth(tmp_path / "truth.parquet", truth)))
    plan = plan_evaluation(detections, opened, str(tmp_path / "work"), allow_missing=True)
    (group,) = detections.row_groups()
    by_key = {row.key: row for row in truth}
    read = list(row_frames(group, WorkerTruth(plan.truth_file), DetectionClasses(plan.detection_classes)))
    assert len(read) > 1
    wanted = [row for row in rows if row.error is None]
    frames = [frame for batch in read for frame in batch]
    assert [frame.name for frame, _ in frames] == [row.key for row in wanted]
    for (frame, origin), row in zip(frames, wanted, strict=True):
        assert (origin.key, origin.frame_index, origin.record_index) == (row.key, 0, None)
        assert origin.indices.tolist() == list(range(len(row.detections)))
        assert frame.found == row.detections
        assert np.array_equal(frame.truth.boxes, by_key[row.key].objects.boxes)


def test_a_graph_of_something_else_is_refused_when_it_is_built(planned):
    with pytest.raises(beam.typehints.TypeCheckError, match="RowGroup"):
        beam.Pipeline(runner=FnApiRunner()) | beam.Create(["x.parquet"]) | ReadFrames(planned[0])


def test_no_detections_at_all_are_undefined_numbers():
    """Nothing to combine is a value too."""
    metrics = MetricsFn(FACTORIES)
    values = metrics.extract_output(metrics.merge_accumulators([]))
    assert values["coco"]["DetectionBoxes_Precision/mAP"] == -1.0


def test_accumulators_travel_and_merge_as_beam_has_them(planned):
    _, frames, _ = planned
    metrics = pickler.loads(pickler.dumps(MetricsFn(FACTORIES)))
    parts = [metrics.add_input(metrics.create_accumulator(), FrameBatch(frames[n::3])) for n in range(3)]
    coder = beam.coders.registry.get_coder(object)
    parts = [coder.decode(coder.encode(part)) for part in parts]
    inner = metrics.merge_accumulators([parts[2], metrics.create_accumulator()])
    assert metrics.extract_output(metrics.merge_accumulators([inner, parts[0], parts[1]])) == values_of(frames)


def test_a_batch_travels_and_its_size_is_told_without_pickling(planned, monkeypatch):
    batch = FrameBatch(planned[1])
    coder = beam.coders.registry.get_coder(FrameBatch)
    assert coder.decode(coder.encode(batch)) == batch
    monkeypatch.setattr(pickle, "dumps", None)
    boxes = sum(len(frame.found) for frame in batch)
    assert 24 * boxes < coder.estimate_size(batch) < 100 * boxes


def test_a_file_that_is_gone_is_named(planned):
    plan, _, folder = planned
    (folder / "found/00003.parquet").unlink()
    with pytest.raises(UsageError, match=r"00003\.parquet"):
        run(plan, FACTORIES, Engine(), str(folder / "values.json"))
    assert not (folder / "values.json").exists()


def test_frames_that_are_lost_after_planning_are_missed(planned):
    plan, _, folder = planned
    path = folder / "found/00003.parquet"
    rows = pq.read_table(path)
    pq.write_table(rows.slice(1), path)
    assert len(rows) > 1
    with pytest.raises(StorageError, match="found: 30 frames were to be evaluated, and 29 were: the detections were"):
        run(plan, FACTORIES, Engine(), str(folder / "values.json"))


def test_an_engine_that_gives_up_is_told_in_one_line(planned):
    plan, _, folder = planned

    def explode():
        raise ValueError("no numbers today")

    with pytest.raises(StorageError) as raised:
        run(plan, [explode], Engine(), str(folder / "values.json"))
    assert "DirectRunner gave the job up" in str(raised.value)
    assert "no numbers today" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_frames_are_told_of_key_by_key():
    told = FramesByKey()
    told.add(["a.mp4", "b.jpg", "a.mp4"], ["a.mp4#1", "b.jpg", "a.mp4#2"])
    told.add(["c.mp4", "a.mp4"], ["c.mp4#7", "a.mp4#3"])
    assert told.named() == Named(5, ("a.mp4 (3 frames)", "b.jpg", "c.mp4#7"), 0)
    told.add([f"{n}.mp4" for n in range(20)] * 2, ["x"] * 40)
    assert told.named().total == 45
    assert told.named().first[3:] == tuple(f"{n}.mp4 (2 frames)" for n in range(7))
    assert told.named().more == 2 * 13


class TestTruth:
    def test_names_order_as_keys_and_frames_do(self):
        keys = pa.array(["v.mp4", "v.mp4", "v.mp4", "a.jpg"])
        names = frame_names(keys, np.array([10, 9, 0, 0]), np.array([True, True, True, False])).to_pylist()
        assert names == ["v.mp4#000000010", "v.mp4#000000009", "v.mp4#000000000", "a.jpg"]
        assert sorted(names) == [names[3], names[2], names[1], names[0]]

    def test_all_of_an_annotation_comes_through(self, planned, tmp_path):
        """Flags and areas too, to the worker."""
        objects = GroundTruth.of(
            [files.WHOLE, files.LEFT],
            [1, 2],
            is_crowd=[True, False],
            difficult=[False, True],
            group_of=[True, True],
            area=[np.nan, 77],
        )
        row = files.truth_row("a.jpg")._replace(objects=objects)
        opened = open_ground_truth(str(files.write_truth(tmp_path / "t/t.parquet", [files.truth_row("b.jpg"), row])))
        found = [files.found_row("a.jpg", (1, files.WHOLE, 0.5)), files.found_row("b.jpg")]
        detections = find_detections(str(files.write_detections(tmp_path / "f", found)))
        plan = plan_evaluation(detections, opened, str(tmp_path / "w"), allow_missing=False)
        worker = WorkerTruth(plan.truth_file)
        (place,) = worker.index.find(pa.array(["a.jpg"]), np.array([0]))
        truth = worker.truth_at(int(place))
        assert truth.is_crowd.tolist() == [True, False]
        assert truth.difficult.tolist() == [False, True]
        assert truth.group_of.tolist() == [True, True]
        assert np.array_equal(truth.area, np.array([np.nan, 77], np.float32), equal_nan=True)

    @pytest.mark.parametrize("frame_index", [-1, 1 << 32])
    def test_a_frame_number_that_cannot_be_is_refused(self, tmp_path, frame_index):
        row = files.truth_row("v.mp4", (1, files.WHOLE), frame=frame_index, kind="video")
        opened = open_ground_truth(str(files.write_truth(tmp_path / "t.parquet", [row])))
        with pytest.raises(UsageError, match=f"frame indices from {frame_index}"):
            read_truth(opened)

    def test_no_images_at_all(self, tmp_path):
        opened = open_ground_truth(str(files.write_truth(tmp_path / "t.parquet", [])))
        with pytest.raises(UsageError, match="no images"):
            read_truth(opened)


pairs = st.lists(st.tuples(st.integers(-1, 3), st.sampled_from(["a", "b", "", None])), max_size=20)


def structs_of(classes):
    ids, labels = zip(*classes, strict=True) if classes else ((), ())
    arrays = [pa.array(ids, pa.int32()), pa.array(labels, pa.string())]
    return pa.StructArray.from_arrays(arrays, ["class_id", "label"])


class TestClasses:
    @given(pairs, pairs)
    def test_codes_are_of_the_classes_they_are_given_for(self, first, second):
        codes = ClassCodes()
        for classes in (first, second, first):
            assert [codes.pairs[code] for code in codes.codes(structs_of(classes))] == classes
        assert len(set(codes.pairs)) == len(codes.pairs)

    def test_a_class_the_launcher_did_not_see_is_none(self):
        classes = DetectionClasses([((1, "a"), 5), ((2, "b"), NO_CLASS)])
        assert classes.of(structs_of([(1, "a"), (2, "b"), (9, "new"), (1, "a")])).tolist() == [5, -1, -1, 5]
        assert classes.of(structs_of([])).tolist() == []

    def test_numbers_of_the_objects_are_kept_where_they_are_clear(self):
        clear = classes_of(None, True, [(7, "dog"), (3, "cat"), (9, None)])
        assert (dict(clear.categories), clear.has_ids) == ({3: "cat", 7: "dog", 9: "9"}, True)

    @pytest.mark.parametrize(
        "annotated",
        [
            [(1, "dog"), (1, "cat")],
            [(1, "dog"), (2, "cat"), (3, "cat")],
            [(-1, "dog"), (-1, "cat")],
            [(0, "dog"), (1, "cat")],
        ],
    )
    def test_else_names_are_numbered(self, annotated):
        classes = classes_of(None, True, annotated)
        assert (dict(classes.categories), classes.has_ids) == ({1: "cat", 2: "dog"}, False)
        assert classes.id_of((1, None)) == NO_CLASS

    def test_classes_that_show_the_same_name_are_told_apart(self):
        items = (LabelMapItem(1, "/m/1", "bat"), LabelMapItem(2, "/m/2", "bat"), LabelMapItem(3, "/m/3", "cat"))
        classes = classes_of(LabelMap(items), True, [])
        assert dict(classes.categories) == {1: "/m/1", 2: "/m/2", 3: "cat"}
        assert [classes.id_of(pair) for pair in [(2, "bat"), (1, "bat"), (9, "bat"), (9, "/m/2"), (9, "cat")]] == [
            2,
            1,
            NO_CLASS,
            2,
            3,
        ]

    def test_the_background_is_no_class(self):
        items = (LabelMapItem(0, "background"), LabelMapItem(1, "cat"))
        classes = classes_of(LabelMap(items), True, [])
        assert dict(classes.categories) == {1: "cat"}
        assert (classes.id_of((0, "background")), classes.id_of((0, None))) == (NO_CLASS, NO_CLASS)


def test_row_groups_are_all_there_in_order(tmp_path):
    rows = [files.found_row(f"{n}.jpg") for n in range(8)]
    detections = find_detections(str(files.write_detections(tmp_path / "found", rows, row_group=3, per_file=5)))
    assert [(group.path.rpartition("/")[2], group.number) for group in detections.row_groups()] == [
        ("00000.parquet", 0),
        ("00000.parquet", 1),
        ("00001.parquet", 0),
    ]
    assert isinstance(next(detections.row_groups()), RowGroup)
