"""The convert job run again: after a kill, with nothing to do, with other annotations, options or images."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from od_core import storage
from od_core.errors import OutputError, StorageError
from od_core.label_map import read_label_map
from pipelines.convert import worker
from pipelines.convert.job import ConvertJob
from pipelines.convert.layout import Layout
from pipelines.convert.shards import ShardFile, note_shard
from pipelines.finalize import Finished
from tests.pipelines.conversions import LAYOUT, by_key, do, job, one_voc
from tests.pipelines.made_annotations import (
    features_of,
    files_of,
    index_of,
    manifest_of,
    picture,
    record_of,
    voc_object,
    voc_xml,
    write_files,
    write_voc,
)


def test_killed_and_repeated_the_bytes_are_those_of_one_run(tmp_path: pathlib.Path) -> None:
    write_voc(tmp_path / "in", 40)
    boxbeam = pathlib.Path(sys.executable).with_name("boxbeam")
    argv = [str(boxbeam), "convert", "--input", str(tmp_path / "in"), "--images_per_shard", "1", "--workers", "1"]
    output = tmp_path / "out"
    process = subprocess.Popen(
        [*argv, "--output", str(output), "--isolation", "process"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(list((output / "_work/parts").glob("*.parquet"))) < 3:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = len(list((output / "_work/parts").glob("*.parquet")))
    assert 3 <= done < 40, "it was over before it was killed: not a test"
    assert not (output / "manifest.json").exists()
    one_each = ConvertJob(Layout({"train": 0.8, "val": 0.2}, images_per_shard=1))
    assert do(tmp_path / "in", output, one_each).planned_inputs == 40 - done
    do(tmp_path / "in", tmp_path / "fresh", one_each)
    assert files_of(output) == files_of(tmp_path / "fresh")


def test_killed_while_it_cleans_up_and_repeated_nothing_is_changed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(folder: str) -> None:
        files = sorted(path for path in pathlib.Path(folder).rglob("*") if path.is_file())
        if not files:
            return
        for path in files[: len(files) // 2]:
            path.unlink()
        raise KeyboardInterrupt

    write_voc(tmp_path / "in")
    with monkeypatch.context() as context:
        context.setattr(storage, "remove_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            do(tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out/_work").exists()
    assert do(tmp_path / "in", tmp_path / "out").planned_inputs == 0
    assert not (tmp_path / "out/_work").exists()
    do(tmp_path / "in", tmp_path / "fresh")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "fresh")


def test_a_shard_that_another_run_has_written_over_is_not_published(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(output: str, file: ShardFile) -> None:
        note_shard(output, file._replace(records=file.records + 1))

    monkeypatch.setattr(worker, "note_shard", overtaken)
    with pytest.raises(StorageError, match=r"out: train-00000-of-00003\.tfrecord, .*: not as many records as in"):
        do(write_voc(tmp_path / "in"), tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.tfrecord"))
    assert not (tmp_path / "out/manifest.json").exists()
    monkeypatch.undo()
    do(tmp_path / "in", tmp_path / "out")
    do(tmp_path / "in", tmp_path / "fresh")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "fresh")


def test_run_again_there_is_nothing_to_do(tmp_path: pathlib.Path) -> None:
    do(write_voc(tmp_path / "in"), tmp_path / "out")
    before = files_of(tmp_path / "out")
    inodes = {path.name: path.stat().st_ino for path in (tmp_path / "out").iterdir()}
    again = do(tmp_path / "in", tmp_path / "out")
    assert (again.planned_inputs, again.finished.changed) == (0, False)
    assert files_of(tmp_path / "out") == before
    assert {path.name: path.stat().st_ino for path in (tmp_path / "out").iterdir()} == inodes


def test_a_changed_annotation_makes_all_shards_anew(tmp_path: pathlib.Path) -> None:
    do(write_voc(tmp_path / "in"), tmp_path / "out")
    (tmp_path / "in/Annotations/img04.xml").write_text(voc_xml("img04.jpg", [voc_object("zebra", (1, 1, 9, 9))]))
    assert do(tmp_path / "in", tmp_path / "out").planned_inputs == 12
    assert [item["label"] for item in by_key(tmp_path / "out")["img04.jpg"]["objects"]] == ["zebra"]
    assert read_label_map(str(tmp_path / "out/label_map.pbtxt")).names[3] == "zebra"
    do(tmp_path / "in", tmp_path / "fresh")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "fresh")


def test_shards_of_another_count_go_and_nobody_elses_files(tmp_path: pathlib.Path) -> None:
    do(write_voc(tmp_path / "in", 20), tmp_path / "out")
    before = {path.name for path in (tmp_path / "out").glob("*.tfrecord")}
    others = {"notes.txt": "x", "old.tfrecord": "x", "train-00000-of-00001.tfrecord.bak": "x", "sub/train-0.txt": "x"}
    write_files(tmp_path / "out", others)
    for number in range(6, 20):
        (tmp_path / f"in/Annotations/img{number:02}.xml").unlink()
    do(tmp_path / "in", tmp_path / "out")
    do(tmp_path / "in", tmp_path / "fresh")
    shards = {path.name for path in (tmp_path / "fresh").glob("*.tfrecord")}
    assert before - shards, "no shard had to go: not a test"
    assert {path.name for path in (tmp_path / "out").glob("*.tfrecord")} == {*shards, "old.tfrecord"}
    for name in others:
        assert (tmp_path / "out" / name).read_text() == "x"


def test_shards_that_are_not_ours_are_not_touched(tmp_path: pathlib.Path) -> None:
    write_files(tmp_path / "out", {"train-00000-of-00001.tfrecord": "of another program"})
    with pytest.raises(OutputError, match=r"train-00000-of-00001\.tfrecord\): nobody could tell them"):
        do(write_voc(tmp_path / "in", 3), tmp_path / "out", job())
    assert (tmp_path / "out/train-00000-of-00001.tfrecord").read_text() == "of another program"


def test_other_options_are_refused_and_taken_with_overwrite(tmp_path: pathlib.Path) -> None:
    do(write_voc(tmp_path / "in"), tmp_path / "out")
    other = ConvertJob(dataclasses.replace(LAYOUT, seed=5, splits={"a": 0.5, "b": 0.5}))
    with pytest.raises(OutputError, match=r"--seed was 0, now 5; --splits was train=0\.7,val=0\.3, now a=0"):
        do(tmp_path / "in", tmp_path / "out", other)
    do(tmp_path / "in", tmp_path / "out", other, overwrite=True)
    do(tmp_path / "in", tmp_path / "fresh", other)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "fresh")


def test_an_image_that_was_repaired_is_tried_again(tmp_path: pathlib.Path) -> None:
    write_voc(tmp_path / "in")
    image = tmp_path / "in/JPEGImages/img05.jpg"
    whole = image.read_bytes()
    image.write_bytes(whole[:200] + bytes(len(whole) - 200))
    status = image.stat()
    assert do(tmp_path / "in", tmp_path / "out").finished.manifest.counts["failed"] == 1
    image.write_bytes(whole)
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))  # nothing but --retry_failed can know
    assert do(tmp_path / "in", tmp_path / "out").planned_inputs == 0
    assert by_key(tmp_path / "out")["img05.jpg"]["status"] == "failed"
    again = do(tmp_path / "in", tmp_path / "out", retry_failed=True)
    assert 1 <= again.planned_inputs <= 3, "more than its shard was made anew"
    do(tmp_path / "in", tmp_path / "fresh")
    names = {path.name for path in (tmp_path / "fresh").glob("*.tfrecord")}
    after, fresh = files_of(tmp_path / "out"), files_of(tmp_path / "fresh")
    assert {name: after[name] for name in names} == {name: fresh[name] for name in names}
    assert index_of(tmp_path / "out") == index_of(tmp_path / "fresh")
    assert manifest_of(tmp_path / "out")["details"] == manifest_of(tmp_path / "fresh")["details"]


def test_an_image_of_another_time_or_size_is_another_image(tmp_path: pathlib.Path) -> None:
    do(write_voc(tmp_path / "in"), tmp_path / "out")
    (tmp_path / "in/JPEGImages/img05.jpg").write_bytes(picture(99))
    assert do(tmp_path / "in", tmp_path / "out").planned_inputs == 12
    row = by_key(tmp_path / "out")["img05.jpg"]
    assert features_of(record_of(tmp_path / "out", row))["image/encoded"][1] == [picture(99)]


@pytest.mark.parametrize("moment", ["before the first shard", "after two shards", "before the manifest"])
@pytest.mark.parametrize("former", [False, True])
def test_interrupted_while_shards_take_their_places_the_next_run_completes(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, moment: str, former: bool
) -> None:
    write_voc(tmp_path / "in", 20)
    if former:
        do(tmp_path / "in", tmp_path / "out")
    for number in range(8, 20):
        (tmp_path / f"in/Annotations/img{number:02}.xml").unlink()
    moves = []
    real_move, real_write = storage.move, storage.write_text

    def move(source: str, target: str) -> None:
        moves.append(target)
        if len(moves) > {"before the first shard": 0, "after two shards": 2}.get(moment, 99):
            raise StorageError("the plug was pulled")
        real_move(source, target)

    def write_text(path: str, text: str) -> None:
        if path.endswith("manifest.json"):
            raise StorageError("the plug was pulled")
        real_write(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "move", move)
        patch.setattr(storage, "write_text", write_text)
        with pytest.raises(StorageError, match="the plug was pulled"):
            do(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out/manifest.json").exists(), "shards of two conversions could be taken for one"
    assert do(tmp_path / "in", tmp_path / "out").planned_inputs == 0
    do(tmp_path / "in", tmp_path / "fresh")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "fresh")


def test_parts_of_a_plan_that_was_left_and_come_back_to_are_made_anew(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_voc(tmp_path / "in")
    annotation = tmp_path / "in/Annotations/img01.xml"
    first, second = annotation.read_text(), voc_xml("img01.jpg", [voc_object("cat", (9, 9, 20, 20))])

    def stopped(*_: object, **__: object) -> Finished:
        raise StorageError("stopped")

    for text in (first, second):
        annotation.write_text(text)
        with monkeypatch.context() as patch:
            patch.setattr("pipelines.work.finalize", stopped)
            with pytest.raises(StorageError):
                do(tmp_path / "in", tmp_path / "out")
    annotation.write_text(first)
    do(tmp_path / "in", tmp_path / "out")
    do(tmp_path / "in", tmp_path / "fresh")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "fresh")


def test_shards_of_an_unfinished_run_with_other_options_are_not_taken_for_ours(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_voc(tmp_path / "in", voc_object("cat", (-9, 0, 20, 20)), voc_object("cat", (1, 1, 5, 5)))

    def stopped(*_: object, **__: object) -> Finished:
        raise StorageError("stopped")

    for policy in ("clip", "drop"):
        with monkeypatch.context() as patch:
            patch.setattr("pipelines.work.finalize", stopped)
            with pytest.raises(StorageError):
                do(tmp_path / "in", tmp_path / "out", job(boxes=policy), overwrite=True)
    do(tmp_path / "in", tmp_path / "out", job(boxes="clip"), overwrite=True)
    do(tmp_path / "in", tmp_path / "fresh", job(boxes="clip"))
    assert files_of(tmp_path / "out") == files_of(tmp_path / "fresh")
