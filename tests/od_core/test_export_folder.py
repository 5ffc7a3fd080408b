"""Folders of exports: what counts as one, in which order they come, and keeping one that may be deleted."""

import os
import pathlib
import shutil
import threading

import pytest

from od_core import export_folder
from od_core.export_folder import keep, list_exports, remove, step_of


def write_export(folder: pathlib.Path, name: str, content: str = "graph") -> pathlib.Path:
    """What passes for a SavedModel until TensorFlow opens it."""
    (folder / name / "variables").mkdir(parents=True)
    (folder / name / "variables/variables.data-00000-of-00001").write_text(f"weights of {name}")
    (folder / name / "saved_model.pb").write_text(content)
    return folder / name


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("export_1200", 1200),
        ("1200", 1200),
        ("model-0007.pb", 7),
        ("ssd_v2_at_step_30", 30),
        ("saved_model", None),
        (".export_1200.tmp", None),
        ("_export_3", None),
        ("temp-1700000000", None),
        ("export_12.tmp", None),
        ("export_99999999999999999999", None),
    ],
)
def test_the_step_is_the_last_number_of_a_name(name, step):
    assert step_of(name) == step


def test_exports_come_in_order_of_their_steps(tmp_path):
    for name in ("export_1000", "export_200", "export_30"):
        write_export(tmp_path, name)
    (tmp_path / "model_500.pb").write_text("graph")
    (tmp_path / "notes_7.txt").write_text("no export")
    (tmp_path / "export_40").mkdir()
    found = list_exports(str(tmp_path)).exports
    assert [(one.step, one.name, one.has_model) for one in found] == [
        (30, "export_30", True),
        (40, "export_40", False),
        (200, "export_200", True),
        (500, "model_500.pb", True),
        (1000, "export_1000", True),
    ]


def test_an_export_is_there_while_temporary_files_come_and_go_in_it(tmp_path):
    """As TensorFlow's saver makes them: one that vanishes while it is looked at is not the end of the export."""
    parts = write_export(tmp_path, "export_1") / "variables/variables_temp"
    is_over = threading.Event()

    def write() -> None:
        while not is_over.is_set():
            parts.mkdir()
            (parts / "part-00000").write_text("weights")
            shutil.rmtree(parts)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        seen = [len(list_exports(str(tmp_path)).exports) for _ in range(3000)]
    finally:
        is_over.set()
        thread.join()
    assert set(seen) == {1}


def test_what_exporters_write(tmp_path):
    """A SavedModel below its export folder (TF2), or a frozen graph (TF1)."""
    write_export(tmp_path / "export_1", "saved_model")
    (tmp_path / "export_2").mkdir()
    (tmp_path / "export_2/frozen_inference_graph.pb").write_text("graph")
    assert [one.has_model for one in list_exports(str(tmp_path)).exports] == [True, True]


def test_checkpoints_are_no_exports(tmp_path):
    for name in ("ckpt-3.index", "ckpt-3.data-00000-of-00001", "model.ckpt-1200.index", "model.ckpt-1200.meta"):
        (tmp_path / name).write_text("weights")
    found = list_exports(str(tmp_path))
    assert (found.exports, found.checkpoints) == ([], ["ckpt-3", "model.ckpt-1200"])


def test_a_change_changes_the_fingerprint(tmp_path):
    export = write_export(tmp_path, "export_1")
    weights = export / "variables/variables.data-00000-of-00001"
    os.utime(weights, ns=(0, 5_000_000_000))
    os.utime(export / "saved_model.pb", ns=(0, 3_000_000_000))
    seen = {list_exports(str(tmp_path)).exports[0].fingerprint}
    assert list_exports(str(tmp_path)).exports[0].exported_s == 5.0
    os.utime(weights, ns=(0, 6_000_000_000))
    seen.add(list_exports(str(tmp_path)).exports[0].fingerprint)
    weights.write_text("longer than before, at another time")
    os.utime(weights, ns=(0, 6_000_000_000))
    seen.add(list_exports(str(tmp_path)).exports[0].fingerprint)
    (export / "more").write_text("")
    seen.add(list_exports(str(tmp_path)).exports[0].fingerprint)
    assert len(seen) == 4


@pytest.mark.parametrize("can_link", [True, False])
def test_what_is_kept_stays(tmp_path, monkeypatch, can_link):
    write_export(tmp_path / "exports", "export_1", "one")
    (tmp_path / "exports/model_2.pb").write_text("two")
    if not can_link:
        monkeypatch.setattr(export_folder.os, "link", lambda *_: (_ for _ in ()).throw(OSError("another disk")))
    listed = list_exports(str(tmp_path / "exports")).exports
    places = [pathlib.Path(keep(one, str(tmp_path / "kept"))) for one in listed]
    shutil.rmtree(tmp_path / "exports")
    assert (places[0] / "saved_model.pb").read_text() == "one"
    assert (places[0] / "variables/variables.data-00000-of-00001").read_text() == "weights of export_1"
    assert places[1].read_text() == "two"
    kept = list_exports(str(tmp_path / "kept")).exports
    assert [one._replace(path="") for one in kept] == [one._replace(path="") for one in listed]
    for place in places:
        remove(str(place))
        remove(str(place))
    assert list((tmp_path / "kept").iterdir()) == []


def test_an_export_that_is_deleted_while_it_is_kept_leaves_nothing(tmp_path, monkeypatch):
    write_export(tmp_path / "exports", "export_1")
    (export,) = list_exports(str(tmp_path / "exports")).exports
    link = os.link

    def deleting_link(source, target):
        link(source, target)
        shutil.rmtree(tmp_path / "exports/export_1", ignore_errors=True)

    monkeypatch.setattr(export_folder.os, "link", deleting_link)
    for _ in range(2):  # half gone, then gone
        with pytest.raises(FileNotFoundError):
            keep(export, str(tmp_path / "kept"))
        assert list((tmp_path / "kept").iterdir()) == []
