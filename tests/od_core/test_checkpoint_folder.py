"""Which training checkpoints are in a folder, and keeping them."""

import os
import pathlib

import pytest

from od_core.checkpoint_folder import keep_checkpoint, list_checkpoints


def write(folder: pathlib.Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(name)


def test_checkpoints_come_in_order_of_their_steps(tmp_path):
    write(tmp_path, "ckpt-12.index", "ckpt-12.data-00000-of-00001", "ckpt-9.index", "ckpt-9.data-00000-of-00001")
    write(tmp_path, "model.ckpt-100.meta", "model.ckpt-100.index", "model.ckpt-100.data-00000-of-00002")
    write(tmp_path, "checkpoint", "graph.pbtxt", "events.out.tfevents.1", "ckpt-7.data-00000-of-00001.tempstate1")
    listing = list_checkpoints(str(tmp_path))
    assert [(one.step, one.name, one.has_model) for one in listing.exports] == [
        (9, "ckpt-9", True),
        (12, "ckpt-12", True),
        (100, "model.ckpt-100", False),  # a shard of two
    ]
    assert listing.checkpoints == []
    before = listing.exports[2]
    write(tmp_path, "model.ckpt-100.data-00001-of-00002")
    os.utime(tmp_path / "model.ckpt-100.data-00001-of-00002", (2e9, 2e9))
    after = list_checkpoints(str(tmp_path)).exports[2]
    assert (after.has_model, after.exported_s) == (True, 2e9)
    assert after.fingerprint != before.fingerprint


def test_what_is_kept_stays_and_is_the_latest_of_its_folder(tmp_path):
    write(tmp_path / "training", "ckpt-1.index", "ckpt-1.data-00000-of-00001", "ckpt-11.index", "checkpoint")
    first = list_checkpoints(str(tmp_path / "training")).exports[0]
    place = keep_checkpoint(first, str(tmp_path / "kept"))
    assert place == str(tmp_path / "kept/ckpt-1")
    for path in (tmp_path / "training").iterdir():
        path.unlink()
    content = {path.name: path.read_text() for path in pathlib.Path(place).iterdir()}
    assert content == {
        "ckpt-1.index": "ckpt-1.index",
        "ckpt-1.data-00000-of-00001": "ckpt-1.data-00000-of-00001",
        "checkpoint": 'model_checkpoint_path: "ckpt-1"\n',
    }
    with pytest.raises(FileNotFoundError):
        keep_checkpoint(first, str(tmp_path / "kept"))
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["ckpt-1"]
