"""Event files as TensorBoard itself reads them: at once, while they are written, and after restarts."""

import io
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tensorboard.compat.proto import event_pb2

from od_core.event_file import EventFolder
from od_core.records.tfrecord import read_records
from tests.tensorboard_runs import EventMultiplexer, accumulated

MAP = "DetectionBoxes_Precision/mAP"


@pytest.fixture
def folder(tmp_path):
    return EventFolder(str(tmp_path / "eval_val"))


def points(accumulator, tag=MAP):
    return [(one.step, one.wall_time, float(one.tensor_proto.float_val[0])) for one in accumulator.Tensors(tag)]


def events(folder):
    """The messages of all files in the order of their names, parsed with TensorBoard's own definition."""
    found = []
    for name in sorted(path for path in folder.glob("*")):
        with open(name, "rb") as file:
            found += [event_pb2.Event.FromString(payload) for _, payload in read_records(file)]
    return found


def test_tensorboard_shows_the_points(folder):
    for step, number in ((0, 0.0), (1200, 0.25), (100_000_000_000, 0.5)):
        assert folder.write(step, 1e9 + step, {MAP: number, "other": -1.0, "none": float("nan")}, {})
    found = accumulated(folder.path)
    assert sorted(found.Tags()["tensors"]) == [MAP, "other"]
    assert points(found) == [(0, 1e9, 0.0), (1200, 1e9 + 1200, 0.25), (100_000_000_000, 101e9, 0.5)]
    assert found.SummaryMetadata(MAP).plugin_data.plugin_name == "scalars"


def test_tensorboard_shows_the_images(folder):
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    folder.write(3, 1.0, {}, {"Detections_Left_Groundtruth_Right/0": pixels})
    found = accumulated(folder.path)
    (image,) = found.Tensors("Detections_Left_Groundtruth_Right/0")
    width, height, encoded = image.tensor_proto.string_val
    assert (width, height, image.step) == (b"7", b"5", 3)
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(encoded))), pixels)
    assert found.SummaryMetadata("Detections_Left_Groundtruth_Right/0").plugin_data.plugin_name == "images"


def test_steps_only_grow(folder):
    assert folder.last_step() is None
    assert folder.write(20, 2.0, {MAP: 0.2}, {})
    first = points(accumulated(folder.path))
    assert not folder.write(20, 3.0, {MAP: 0.9}, {})
    assert not EventFolder(folder.path).write(10, 1.0, {MAP: 0.1}, {})
    assert points(accumulated(folder.path)) == first
    assert EventFolder(folder.path).last_step() == 20


@pytest.mark.parametrize("step", [-1, 2**63])
def test_steps_that_tensorboard_cannot_hold(folder, step):
    with pytest.raises(ValueError, match="step must be"):
        folder.write(step, 1.0, {}, {})


def test_every_file_names_its_version_first(tmp_path):
    folder = EventFolder(str(tmp_path))
    folder.write(1, 5.0, {MAP: 0.5}, {})
    folder.write(2, 6.0, {MAP: 0.5}, {})
    assert [(one.file_version, one.step, one.HasField("summary")) for one in events(tmp_path)] == [
        ("brain.Event:2", 0, False),
        ("", 1, True),
        ("brain.Event:2", 0, False),
        ("", 2, True),
    ]


def test_the_same_step_is_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        scalars = {"b": 0.5, "a": 0.25}
        EventFolder(str(tmp_path / name)).write(7, 1.5, scalars, {"x": np.zeros((2, 2, 3), np.uint8)})
    one, two = (next((tmp_path / name).iterdir()) for name in ("one", "two"))
    assert (one.name, one.read_bytes()) == (two.name, two.read_bytes())


def test_files_of_others_and_leftovers_are_no_steps(tmp_path):
    folder = EventFolder(str(tmp_path))
    (tmp_path / ".boxbeam-00000000000000000000000000000000.tmp").write_bytes(b"half")
    (tmp_path / "events.out.tfevents.1700000000.host").write_bytes(b"")
    assert folder.last_step() is None
    assert folder.write(1, 1.0, {MAP: 0.5}, {})
    assert points(accumulated(folder.path)) == [(1, 1.0, 0.5)]


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=12))
@settings(max_examples=25)
def test_tensorboard_never_discards_a_point(tmp_path_factory, offers):
    """Steps offered in any order, by writers that come and go, to a TensorBoard that looks in between or not."""
    path = tmp_path_factory.mktemp("runs")
    heard = Heard()
    logging.getLogger("tensorboard").addHandler(heard)
    try:
        live = EventMultiplexer(size_guidance={"tensors": 0}).AddRunsFromDirectory(str(path))
        wanted = []
        for step, is_looked_at in offers:
            if EventFolder(str(path / "eval")).write(step, float(step), {MAP: step / 32}, {}):
                wanted.append((step, float(step), step / 32))
            if is_looked_at:
                live.AddRunsFromDirectory(str(path)).Reload()
        live.AddRunsFromDirectory(str(path)).Reload()
    finally:
        logging.getLogger("tensorboard").removeHandler(heard)
    assert heard.warnings == []
    assert [step for step, *_ in wanted] == sorted({step for step, *_ in wanted})
    if wanted:
        assert points(accumulated(path / "eval")) == wanted
        assert [(one.step, one.value) for one in live.Scalars("eval", MAP)] == [(s, v) for s, _, v in wanted]


class Heard(logging.Handler):
    """What TensorBoard warns of."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.warnings = []

    def emit(self, record):
        self.warnings.append(record.getMessage())
