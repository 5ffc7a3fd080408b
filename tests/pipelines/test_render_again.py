"""render: what is done again and what is not, wherever originals went, and what is never replaced."""

import os
import pathlib
import shutil
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from od_core.detections import Detections
from od_core.drawing import draw_detections
from od_core.errors import UsageError
from od_core.label_map import LabelMap
from od_core.schemas import FrameRow
from od_core.source_root import NOT_MOVED, SourceRoot
from pipelines.engine import Engine
from pipelines.executor import Work
from pipelines.grouping import ItemLimit
from pipelines.infer import job as infer
from pipelines.items import Ask
from pipelines.job import Spread
from pipelines.observer import Silent
from pipelines.render import job as render
from pipelines.render.ended import EndedPieces
from pipelines.render.job import RenderJob
from pipelines.work import RunResult, run
from tests.blocks_scene import draw_scene, write_images, write_video
from tests.pipelines.render_files import (
    LABELS,
    CrashingJob,
    ToldJob,
    detect,
    do,
    found_in,
    images,
    pixels,
    render_it,
    rendered,
    row_of,
    stamps,
    tell,
    truth_of,
    write_pngs,
    write_truth,
)

# Doing it again


def test_nothing_is_done_twice_and_only_what_changed_is_done_again(tmp_path: pathlib.Path) -> None:
    scenes = images(tmp_path, "a.png", "b.png", "c.png", "d.png")
    first = [("a.png", 0, truth_of(scenes["a.png"])), ("b.png", 0, truth_of(scenes["b.png"]))]
    truth = write_truth(tmp_path / "t.parquet", first)
    render_it(tmp_path, ground_truth=truth)
    manifest = (tmp_path / "out/manifest.json").read_text()

    def changed() -> set[str]:
        before = stamps(tmp_path / "out")
        render_it(tmp_path, ground_truth=truth)
        return {name for name, stamp in stamps(tmp_path / "out").items() if before.get(name) != stamp}

    assert changed() == set()
    assert (tmp_path / "out/manifest.json").read_text() == manifest
    os.utime(tmp_path / "in/a.png", (1, 1))  # the original
    assert changed() == {"a.png"}
    rows = {key: [row_of(key, scene)] for key, scene in scenes.items()}
    os.utime(tmp_path / "in/a.png", (1, 1))
    rows["b.png"] = [row_of("b.png", scenes["b.png"], detections=Detections.empty())]  # the detections
    detect(tmp_path / "in", tmp_path / "found", rows)
    assert "b.png" in changed()
    write_truth(tmp_path / "t.parquet", [first[0], ("c.png", 0, truth_of(scenes["c.png"]))])  # what people say
    assert changed() == {"b.png", "c.png"}


def test_with_identity_content_an_original_is_another_one_by_its_bytes_alone(tmp_path: pathlib.Path) -> None:
    images(tmp_path, "a.png", "b.png")
    render_it(tmp_path, identity="content")
    before = stamps(tmp_path / "out")
    os.utime(tmp_path / "in/a.png", (1, 1))
    render_it(tmp_path, identity="content")
    assert stamps(tmp_path / "out") == before
    content = (tmp_path / "in/b.png").read_bytes()
    (tmp_path / "in/b.png").write_bytes(content[:-1] + b"!")  # in the checksum of its last, empty chunk
    render_it(tmp_path, identity="content")
    assert {name for name, stamp in stamps(tmp_path / "out").items() if before.get(name) != stamp} == {"b.png"}


def test_new_inputs_are_added_and_files_of_removed_ones_go(tmp_path: pathlib.Path) -> None:
    scenes = images(tmp_path, "a.png", "b.png")
    render_it(tmp_path)
    before = stamps(tmp_path / "out")
    (tmp_path / "in/a.png").unlink()
    Image.fromarray(scenes["a.png"].image).save(tmp_path / "in/c.png")
    tell(tmp_path, row_of("b.png", scenes["b.png"]), row_of("c.png", scenes["a.png"]))
    assert set(render_it(tmp_path)) == {"b.png", "c.png"}
    after = stamps(tmp_path / "out")
    assert set(after) == {"b.png", "c.png"}
    assert after["b.png"] == before["b.png"]


def test_files_of_other_people_stay(tmp_path: pathlib.Path) -> None:
    scenes = images(tmp_path, "a.png", "b.png")
    render_it(tmp_path)
    (tmp_path / "out/notes.txt").write_text("mine")
    (tmp_path / "out/z.png").write_text("mine too")
    (tmp_path / "in/a.png").unlink()
    tell(tmp_path, row_of("b.png", scenes["b.png"]))
    do(RenderJob(), tmp_path / "found", output=tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.suffix != ".parquet") == [
        "b.png",
        "manifest.json",
        "notes.txt",
        "z.png",
    ]


def test_an_original_that_comes_back_is_rendered_and_one_that_goes_takes_its_picture(tmp_path: pathlib.Path) -> None:
    images(tmp_path, "a.png", "b.png")
    shutil.move(tmp_path / "in/a.png", tmp_path / "a.png")
    assert render_it(tmp_path)["a.png"]["status"] == "failed"
    shutil.move(tmp_path / "a.png", tmp_path / "in/a.png")
    assert render_it(tmp_path)["a.png"]["status"] == "done"
    (tmp_path / "in/a.png").unlink()
    assert render_it(tmp_path)["a.png"]["status"] == "failed"
    assert set(stamps(tmp_path / "out")) == {"b.png"}


def test_originals_that_were_moved_are_found_in_their_new_folder(tmp_path: pathlib.Path) -> None:
    images(tmp_path, "a.png", "b/c.png")
    shutil.move(tmp_path / "in", tmp_path / "moved")
    with pytest.raises(UsageError) as refused:
        render_it(tmp_path)
    assert str(refused.value) == (
        f"not one of 2 originals is where it is looked for, such as {tmp_path}/in/a.png. If they were moved, give their"
        " folder with --source_root"
    )
    moved = SourceRoot(str(tmp_path / "moved"))
    rows = render_it(tmp_path, source_root=moved)
    assert [row["source"] for row in rows.values()] == [f"{tmp_path}/moved/a.png", f"{tmp_path}/moved/b/c.png"]
    (tmp_path / "moved/a.png").unlink()
    message = render_it(tmp_path, source_root=moved)["a.png"]["error"]["message"]  # type: ignore[index]
    assert message == f"the original is not where --source_root says: there is no {tmp_path}/moved/a.png"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"--source_root must be what was infer's --input"):
        render_it(tmp_path, source_root=SourceRoot(str(tmp_path / "empty")))


def test_several_folders_that_were_moved_are_mapped_each(tmp_path: pathlib.Path) -> None:
    images(tmp_path, "day/a.png", "day/late/b.png", "night/c.png")
    for old, new in (("day/late", "late"), ("day", "elsewhere/day"), ("night", "dark")):
        shutil.copytree(tmp_path / "in" / old, tmp_path / new)
        shutil.rmtree(tmp_path / "in" / old)
    pairs = {"day": "elsewhere/day", "day/late": "late", "night": "dark"}
    root = SourceRoot.parse([f"{tmp_path}/in/{old}={tmp_path}/{new}/" for old, new in pairs.items()])
    rows = render_it(tmp_path, source_root=root)
    assert {row["status"] for row in rows.values()} == {"done"}
    assert rows["day/late/b.png"]["source"] == f"{tmp_path}/late/b.png"
    with pytest.raises(UsageError, match=r"--source_root /old=\.\.\.: no original lay in it .* the first one was"):
        render_it(tmp_path, source_root=SourceRoot.parse([f"/old={tmp_path}"]))


def test_originals_of_another_size_are_said_to_have_changed_and_not_drawn_on(tmp_path: pathlib.Path) -> None:
    images(tmp_path, "a.png", "b.png")
    rows = render_it(tmp_path)
    size = (tmp_path / "in/a.png").stat().st_size
    with open(tmp_path / "in/a.png", "ab") as file:
        file.write(b"more")
    for options in ({}, {"crops": True}):
        found = render_it(tmp_path, "crops" if options else "out", **options)
        assert found["a.png"]["error"]["message"].startswith(  # type: ignore[index]
            f"the original has {size + 4:,} bytes, and had {size:,} when the detections were made: it was changed since"
        )
        assert found["b.png"]["status"] == "done"
    assert rows["a.png"]["status"] == "done"
    assert not (tmp_path / "out/a.png").exists()


@pytest.mark.parametrize("name", [b"caf\xe9.png", "cafe\u0301.png".encode(), "日本 語.png".encode(), b"a\\xe9.png"])
@pytest.mark.parametrize("moved", [False, True])
def test_originals_are_found_whatever_the_bytes_of_a_name(tmp_path: pathlib.Path, name: bytes, moved: bool) -> None:
    write_pngs(tmp_path / "in", "plain.png")
    os.rename(tmp_path / "in/plain.png", os.path.join(os.fsencode(tmp_path / "in"), name))
    scene = draw_scene(0)
    (source,) = infer.InferJob("", "", LABELS).find(Ask((str(tmp_path / "in"),), "")).sources
    tell(tmp_path, row_of(source.key, scene))
    (row,) = render_it(tmp_path, source_root=SourceRoot(str(tmp_path / "in")) if moved else NOT_MOVED).values()
    assert row["error"] is None
    expected = draw_detections(scene.image, found_in(scene), LABELS.labels)
    np.testing.assert_array_equal(pixels(tmp_path / "out" / str(row["file"])), expected)


def test_a_run_that_broke_off_is_continued_over_its_own_files(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images(tmp_path, *(f"{number}.png" for number in range(6)))
    monkeypatch.setattr(render, "_ITEM_LIMITS", {"image": ItemLimit(2, 1 << 30)})
    written: list[int] = []
    finish: Callable[..., None] = EndedPieces.finish

    def stop(self: object, piece: object) -> None:
        written.append(1)
        if len(written) == 4:
            raise KeyboardInterrupt
        finish(self, piece)

    with monkeypatch.context() as patched:
        patched.setattr("pipelines.render.worker.EndedPieces.finish", stop)
        with pytest.raises(KeyboardInterrupt):
            render_it(tmp_path)
    before = stamps(tmp_path / "out")
    assert len(before) == 4
    assert len(render_it(tmp_path)) == 6
    again = [name for name, stamp in stamps(tmp_path / "out").items() if before.get(name, stamp) != stamp]
    assert len(again) == 2  # those of the item that was not committed


def test_what_was_being_written_when_a_run_was_killed_goes(tmp_path: pathlib.Path) -> None:
    images(tmp_path, "a.png", "sub/b.png")
    left = [tmp_path / "out" / folder / f".boxbeam-{'0' * 32}.tmp" for folder in (".", "sub")]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half a picture")
    (tmp_path / "out/sub/.boxbeam-note").write_text("somebody else's")
    job = RenderJob()
    work = Work(job, Ask((str(tmp_path / "found"),), str(tmp_path / "out")), Spread(1, 1), "none", 60, None, "again")
    run(work, Engine(), Silent(), max_failed_ratio=1)
    assert not any(path.exists() for path in left)
    assert (tmp_path / "out/sub/.boxbeam-note").exists()


# What is refused


def test_originals_are_never_replaced(tmp_path: pathlib.Path) -> None:
    images(tmp_path, "a.png", "b.png")
    before = stamps(tmp_path / "in")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for output in ("in", "link"):
        with pytest.raises(UsageError, match="there lie the originals, such as"):
            do(RenderJob(), tmp_path / "found", output=tmp_path / output)
        with pytest.raises(UsageError, match="there lie the originals, such as"):
            do(RenderJob(), tmp_path / "found", output=tmp_path / output, overwrite=True)
    assert stamps(tmp_path / "in") == before


@pytest.mark.parametrize("names", [["a.png"], ["clip.mp4"], ["val.tfrecord"]])
def test_files_that_it_did_not_make_are_not_replaced(tmp_path: pathlib.Path, names: list[str]) -> None:
    (name,) = names
    (tmp_path / "in").mkdir()
    write_images(tmp_path / "in", 1)
    shutil.copy(tmp_path / "in/scene_000.jpg", tmp_path / "in" / name)
    tell(tmp_path, row_of("scene_000.jpg", draw_scene(0)))
    target = tmp_path / "out" / name / "000000-a.jpg" if name == "val.tfrecord" else tmp_path / "out" / name
    target.parent.mkdir(parents=True)
    target.write_text("mine")
    with pytest.raises(
        UsageError, match=f"rendering would replace {target.relative_to(tmp_path / 'out')}, which it did not"
    ):
        do(RenderJob(), tmp_path / "found", output=tmp_path / "out")
    assert target.read_text() == "mine"


def test_names_that_two_originals_would_need_are_refused_with_both(tmp_path: pathlib.Path) -> None:
    write_pngs(tmp_path / "one", "_work/a.png")
    write_pngs(tmp_path / "two", "__work/a.png")
    scene = draw_scene(0)
    job_inputs = (tmp_path / "one", tmp_path / "two")
    told = {key: [row_of(key, scene)] for key in ("_work/a.png", "__work/a.png")}
    do(ToldJob("", "", LABELS, told=told), *job_inputs, output=tmp_path / "found")
    with pytest.raises(UsageError, match=r"the pictures of '__work/a\.png' and '_work/a\.png' would need one name"):
        render_it(tmp_path)


def test_labels_without_a_name_are_drawn_by_number(tmp_path: pathlib.Path) -> None:
    scenes = write_pngs(tmp_path / "in", "a.png")
    labels = LabelMap.of_names(["red"])
    detect(tmp_path / "in", tmp_path / "found", {"a.png": [row_of("a.png", scenes["a.png"])]}, labels)
    render_it(tmp_path)
    expected = draw_detections(scenes["a.png"].image, found_in(scenes["a.png"]), labels.labels)
    np.testing.assert_array_equal(pixels(tmp_path / "out/a.png"), expected)


# On the engine, in processes of their own


def on_engine(job: RenderJob, tmp_path: pathlib.Path, output: str, processes: int) -> RunResult:
    ask = Ask((str(tmp_path / "found"),), str(tmp_path / output))
    work = Work(
        job=job,
        ask=ask,
        spread=Spread(processes, 1),
        isolation="process",
        stall_seconds=60.0,
        memory_bytes=None,
        run_id=output,
    )
    return run(work, Engine(), Silent(), max_failed_ratio=1.0)


def test_two_processes_make_the_same_files_as_one_and_a_crash_costs_one_video(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render, "_ITEM_LIMITS", {kind: ItemLimit(2, 1 << 30) for kind in ("image", "video")})
    told: dict[str, list[FrameRow]] = {}
    for number in range(3):
        scenes = write_video(tmp_path / f"in/{number}.mp4", 6)
        told[f"{number}.mp4"] = [
            row_of(f"{number}.mp4", scene, "video", frame_index=frame) for frame, scene in enumerate(scenes)
        ]
    names = [f"{number}.png" for number in range(5)]
    told |= {name: [row_of(name, scene)] for name, scene in write_pngs(tmp_path / "in", *names).items()}
    detect(tmp_path / "in", tmp_path / "found", told)
    result = on_engine(CrashingJob(deadly="1.mp4"), tmp_path, "two", 2)
    assert result.finished.manifest.counts["failed"] == 1
    (failed,) = result.finished.failed
    assert failed.piece.source.key == "1.mp4"
    do(RenderJob(), tmp_path / "found", output=tmp_path / "one")
    one, two = rendered(tmp_path / "one"), rendered(tmp_path / "two")
    assert one.keys() == two.keys()
    for key in one.keys() - {"1.mp4"}:
        assert one[key] == two[key]
        assert (tmp_path / "one" / key).read_bytes() == (tmp_path / "two" / key).read_bytes()
    assert not (tmp_path / "two/1.mp4").exists()
