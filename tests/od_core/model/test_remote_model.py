"""Models that are not on a local disk: found by their names, copied to be opened, and gone again."""

import os
import pathlib

import pytest

from od_core import storage
from od_core.errors import ModelError, StorageError
from od_core.model.detector import find_model
from od_core.model.remote import local_model
from tests.od_core.shelf import Shelf

GRAPH = "mem://b/export/frozen_inference_graph.pb"
SAVED = "mem://b/export/saved_model"
PARTS = ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001", "assets/names.txt")


@pytest.fixture
def shelf(monkeypatch) -> Shelf:
    made = Shelf(GRAPH, "mem://b/export/pipeline.config", f"{SAVED}/notes.txt", *(f"{SAVED}/{part}" for part in PARTS))
    monkeypatch.setattr(storage, "_remote", made)
    return made


def test_a_local_model_is_used_where_it_lies(tmp_path):
    with local_model(str(tmp_path / "any")) as path:
        assert path == str(tmp_path / "any")


@pytest.mark.parametrize("path", [SAVED, f"{SAVED}/", f"{SAVED}/saved_model.pb", "mem://b/export"])
def test_a_saved_model_is_copied_with_what_belongs_to_it(shelf, path):
    with local_model(path) as copy:
        assert find_model(copy).format == "saved_model"
        found = {file.relative_to(copy).as_posix() for file in pathlib.Path(copy).rglob("*") if file.is_file()}
        assert found == set(PARTS)
        assert all(pathlib.Path(copy, part).read_bytes() == f"{SAVED}/{part}".encode() for part in PARTS)
    assert not os.path.exists(copy)


def test_a_frozen_graph_is_copied_alone(shelf):
    with local_model(GRAPH) as copy:
        assert (find_model(copy).format, pathlib.Path(copy).read_bytes()) == ("frozen_graph", GRAPH.encode())
        digest = find_model(copy).digest()
    for part in PARTS:
        del shelf.files[f"{SAVED}/{part}"]
    with local_model("mem://b/export", digest) as copy:
        assert pathlib.Path(copy).name == "frozen_inference_graph.pb"
    assert not os.path.exists(copy)


def test_a_model_that_was_replaced_is_refused(shelf):
    with local_model(SAVED) as copy:
        digest = find_model(copy).digest()
    with local_model(SAVED, digest):
        pass
    shelf.files[f"{SAVED}/variables/variables.index"] += b"!"
    with pytest.raises(StorageError, match="mem://b/export/saved_model: the model was replaced or removed"):
        with local_model(SAVED, digest):
            pass


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("mem://b/none", "no model at mem://b/none: expected saved_model.pb, .* found nothing"),
        ("mem://b", "found export/frozen_inference_graph.pb, export/pipeline.config"),
        ("mem://b/export/pipeline.config", "pipeline.config: not a model: expected"),
    ],
)
def test_where_no_model_is_the_message_says_what_is(shelf, path, message):
    with pytest.raises(ModelError, match=message), local_model(path):
        pass


def test_errors_about_a_copy_name_the_models_own_place(shelf):
    with pytest.raises(ModelError, match=f"^{GRAPH} is no detector$"):
        with local_model(GRAPH) as copy:
            raise ModelError(f"{copy} is no detector")


def test_a_copy_that_has_no_room_is_refused(shelf, monkeypatch):
    monkeypatch.setattr("od_core.model.remote.shutil.disk_usage", lambda folder: Full)
    with pytest.raises(StorageError, match=r"a copy of the model needs .* has 3; set TMPDIR"), local_model(GRAPH):
        pass


class Full:
    free = 3
