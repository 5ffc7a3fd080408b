"""render's command line: what it takes, prints and refuses, on detections that no model has to make."""

import io
import json
import pathlib
import shutil
from collections.abc import Callable

import pyarrow.parquet as pq
import pytest

from beam_jobs import render
from od_core import storage
from od_core.records.tfrecord import write_record
from tests.blocks_scene import draw_scene, write_images, write_video
from tests.pipelines.render_files import detect, row_of, truth_of, write_truth


@pytest.fixture
def place(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with three pictures and a video in `in`, their detections in `found`, and ground truth of one."""
    scenes = write_images(tmp_path / "in", 3)
    told = {f"scene_{n:03}.jpg": [row_of(f"scene_{n:03}.jpg", scene)] for n, scene in enumerate(scenes)}
    frames = write_video(tmp_path / "in/clip.mp4", 8)
    told["clip.mp4"] = [row_of("clip.mp4", scene, "video", frame_index=n) for n, scene in enumerate(frames)]
    detect(tmp_path / "in", tmp_path / "found", told)
    write_truth(tmp_path / "truth.parquet", [("scene_001.jpg", 0, truth_of(scenes[1]))])
    return tmp_path


@pytest.fixture
def command(place: pathlib.Path) -> Callable[..., list[str]]:
    """A proper command line, with more or other arguments."""

    def made(*more: object, detections: object = "found", output: object = "out") -> list[str]:
        paths = ["--detections", str(place / str(detections)), "--output", str(place / str(output))]
        return [*paths, "--progress", "off", *map(str, more)]

    return made


@pytest.fixture
def refusal(
    place: pathlib.Path, command: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """What a command line is refused with; nothing was written."""

    def refused(*more: object, **paths: object) -> str:
        before = _files(place)
        try:
            status: object = render.main(command(*more, **paths))
        except SystemExit as stopped:
            status = stopped.code
        printed = capsys.readouterr()
        assert (status, printed.out) == (2, ""), printed.err
        assert printed.err.startswith("boxbeam render: error: ")
        assert printed.err.count("\n") == 1
        assert _files(place) == before
        return printed.err.removeprefix("boxbeam render: error: ").rstrip("\n")

    return refused


def _files(folder: pathlib.Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def test_a_whole_run_says_what_it_made_and_a_second_one_that_nothing_is_to_do(
    place: pathlib.Path, command: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert render.main(command("--isolation", "none")) == 0
    boxes = sum(len(draw_scene(n).boxes_px) for n in (*range(3), *range(8)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("render: finished in")
    assert lines[1:3] == ["  4 inputs: 4 done, 0 empty, 0 failed", f"  {boxes} boxes, 8 frames, 3 images"]
    made = {path.name for path in (place / "out").iterdir() if path.suffix != ".parquet"}
    assert made == {"scene_000.jpg", "scene_001.jpg", "scene_002.jpg", "clip.mp4", "manifest.json", "run.json"}
    before = _files(place / "out")
    assert render.main(command("--isolation", "none")) == 0
    assert capsys.readouterr().out.startswith("render: nothing to do: ")
    assert _files(place / "out") == before
    options = json.loads((place / "out/manifest.json").read_text())["options"]
    assert options == {
        "--layout": "overlay",
        "--min_score": "0.5",
        "--crf": "20",
        "--ground_truth": "none",
        "drawing": "1",
    }


def test_with_ground_truth_the_two_stand_side_by_side_unless_asked_otherwise(
    place: pathlib.Path, command: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    truth = ("--ground_truth", place / "truth.parquet", "--isolation", "none")
    assert render.main(command(*truth)) == 0
    assert "3 without ground truth" in capsys.readouterr().out
    assert json.loads((place / "out/manifest.json").read_text())["options"]["--layout"] == "side_by_side"
    assert render.main(command(*truth, "--layout", "overlay", output="over")) == 0
    assert json.loads((place / "over/manifest.json").read_text())["options"]["--layout"] == "overlay"


@pytest.mark.parametrize(
    ("more", "change"),
    [
        (["--min_score", "0.4"], "--min_score was 0.5, now 0.4"),
        (["--crf", "30"], "--crf was 20, now 30"),
        (["--codec", "vp9", "--crf", "20"], "--codec was not there, now vp9"),
        (["--ground_truth", "truth.parquet", "--layout", "overlay"], "--ground_truth was none, now given"),
    ],
)
def test_other_options_in_the_same_output_are_refused(
    place: pathlib.Path,
    command: Callable[..., list[str]],
    refusal: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    change: str,
) -> None:
    monkeypatch.chdir(place)  # relative paths are as good as others
    assert render.main(command("--isolation", "none")) == 0
    capsys.readouterr()
    said = refusal(*more)
    assert f"was made with other options: {change}. Rows of both" in said


def test_a_sample_of_what_shows_something(
    place: pathlib.Path, command: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--sample", "2", "--seed", "3", "--only", "detections", "--min_score", "red=0.95,0.2", "--max_side", "64")
    assert render.main(command(*more, "--isolation", "none")) == 0
    assert "2 inputs: 2 done, 0 empty, 0 failed" in capsys.readouterr().out
    options = json.loads((place / "out/manifest.json").read_text())["options"]
    wanted = {"--sample": "2 of seed 3", "--only": "detections", "--min_score": "0.2,red=0.95", "--max_side": "64"}
    assert options.items() >= wanted.items()


def test_a_failed_original_is_told_and_gives_status_3(
    place: pathlib.Path, command: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "in/scene_001.jpg").unlink()
    assert render.main(command("--isolation", "none")) == 3
    said = capsys.readouterr().out
    assert f"    scene_001.jpg: the original lies no longer at {place}/in/scene_001.jpg; give its folder" in said


def test_a_dry_run_prints_the_plan_and_writes_nothing(
    place: pathlib.Path, command: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    before = _files(place)
    assert render.main(command("--dry_run", "--workers", "2", "--ground_truth", place / "truth.parquet")) == 0
    assert _files(place) == before
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"render: plan for {place}/out (nothing is done)"
    assert lines[1].startswith("  inputs: 3 images, 1 video (")
    assert lines[3] == "  with:   2 item processes, 1 thread each"


# What is no detections dataset


def test_detections_that_are_not_there_are_refused_with_the_nearest_name(
    refusal: Callable[..., str], place: pathlib.Path
) -> None:
    assert refusal(detections="fond") == f"{place}/fond: no such file or folder; did you mean {place}/found?"
    (file,) = (place / "found").glob("*.parquet")
    assert refusal(detections=file) == (
        f"{file}: a file; --detections is the folder that boxbeam infer wrote as its --output"
    )


def test_detections_that_are_not_finished_are_refused(refusal: Callable[..., str], place: pathlib.Path) -> None:
    (place / "found/manifest.json").unlink()
    said = refusal()
    assert said.startswith(f"{place}/found: no manifest.json, so this is not a finished detections dataset")
    (place / "found/_work").mkdir()
    (place / "found/_work/options.json").write_text('{"--model": "sha256:0"}')
    assert refusal().endswith("repeat the boxbeam infer that makes it")


def test_another_dataset_is_refused_by_its_name(
    refusal: Callable[..., str],
    command: Callable[..., list[str]],
    place: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert render.main(command("--isolation", "none")) == 0
    capsys.readouterr()
    assert refusal(detections="out", output="again") == (
        f"{place}/out: holds the output of boxbeam render (boxbeam.rendered/2), expected detections"
        " (boxbeam.detections/1) as boxbeam infer writes them"
    )
    (place / "out/manifest.json").write_text('{"no": "manifest"}')
    said = refusal(detections="out", output="again")
    assert said == f"{place}/out: no detections dataset: its manifest.json is not one that boxbeam wrote"


def test_damaged_detections_are_refused_by_the_file(refusal: Callable[..., str], place: pathlib.Path) -> None:
    (file,) = (place / "found").glob("*.parquet")
    file.write_bytes(file.read_bytes()[:100])
    said = refusal()
    assert said == f"{file}: a file of the detections is gone or damaged; repeat the boxbeam infer that made it"


@pytest.mark.parametrize(
    ("dropped", "found"),
    [([], "its footer tells of 0 rows, and it has 11"), (["error", "width"], "it lacks the columns width, error")],
)
def test_detections_that_another_program_wrote_anew_are_refused_by_the_file(
    refusal: Callable[..., str], place: pathlib.Path, dropped: list[str], found: str
) -> None:
    (file,) = (place / "found").glob("*.parquet")
    pq.write_table(pq.read_table(file).drop_columns(dropped), file)  # what the footer says of inputs is lost
    manifest = json.loads((place / "found/manifest.json").read_text())
    manifest["files"][0]["bytes"] = file.stat().st_size
    (place / "found/manifest.json").write_text(json.dumps(manifest))
    assert refusal().startswith(f"{file}: not as boxbeam infer wrote it: {found}. It is of an older version, or was")


# Where to


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
@pytest.mark.parametrize("output", ["found", "found/pictures", "link/pictures"])
def test_an_output_in_the_detections_is_refused(
    refusal: Callable[..., str], place: pathlib.Path, output: str, more: list[str]
) -> None:
    (place / "link").symlink_to(place / "found")
    said = refusal(*more, output=output)
    if output == "found" and not more:
        assert "holds the output of boxbeam infer" in said
    else:
        assert said.endswith("lies in the detections, which are not to be changed; choose another --output")


@pytest.mark.parametrize("more", [[], ["--overwrite"], ["--dry_run"]])
def test_an_output_among_the_originals_is_refused(
    refusal: Callable[..., str], place: pathlib.Path, more: list[str]
) -> None:
    assert refusal(*more, output="in").startswith(f"{place}/in: there lie the originals, such as {place}/in/clip.mp4")


# The rest


def test_originals_that_are_nowhere_are_refused(refusal: Callable[..., str], place: pathlib.Path) -> None:
    shutil.move(place / "in", place / "moved")
    assert refusal("--dry_run") == (
        f"not one of 4 originals is where it is looked for, such as {place}/in/clip.mp4. If they were moved, give their"
        " folder with --source_root"
    )
    assert refusal("--source_root", place / "move") == (
        f"{place}/move: no such file or folder; did you mean {place}/moved?"
    )
    said = refusal("--source_root", place / "truth.parquet")
    assert said == f"{place}/truth.parquet: a file; --source_root is the folder in which the originals lie"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--layout", "side_by_side"], "--layout side_by_side shows ground truth beside detections; give it with"),
        (["--layout", "both"], "argument --layout: invalid choice: 'both'"),
        (["--crf", "0"], "argument --crf: must be a whole number of at least 1, got '0'"),
        (["--crf", "52"], "--crf of h264 is from 1 to 51, got 52"),
        (["--crf", "64", "--codec", "av1"], "--crf of av1 is from 1 to 63, got 64"),
        (["--codec", "h265"], "argument --codec: invalid choice: 'h265' (choose from 'h264', 'vp9', 'av1')"),
        (["--crops", "--codec", "vp9"], "--codec is about pictures and videos that are drawn on, and --crops makes"),
        (["--min_score", "2"], "argument --min_score: must be from 0 to 1, got '2'"),
        (["--min_score", "0.5,red=2"], "argument --min_score: must be from 0 to 1, got '2'"),
        (["--min_score", "red=0.1,red=0.2"], "argument --min_score: must name each class once"),
        (["--min_score", "0.1,0.2"], "argument --min_score: must be one score, and others as CLASS=SCORE"),
        (["--min_score", "0.5,rde=0.1"], "--min_score: the detections have no class called 'rde'; did you mean 'red'?"),
        (["--colour_by", "verdict"], "--colour_by verdict compares detections with ground truth; give it with"),
        (["--crop_margin", "0.1"], "--crop_margin is about --crops; give both, or neither"),
        (
            ["--crops", "--colour_by", "verdict", "--ground_truth", "truth.parquet"],
            "--colour_by is about pictures and videos that",
        ),
        (["--crops", "--layout", "overlay"], "--layout is about pictures and videos that are drawn on, and --crops"),
        (["--blur", "red", "bleu"], "--blur: the detections have no class called 'bleu'; did you mean 'blue'?"),
        (["--only", "errors"], "--only errors compares detections with ground truth; give it with --ground_truth"),
        (["--only", "mistakes"], "argument --only: invalid choice: 'mistakes'"),
        (["--sample", "0"], "argument --sample: must be a whole number of at least 1, got '0'"),
        (["--seed", "x"], "argument --seed: must be a whole number, got 'x'"),
        (["--max_side", "8"], "argument --max_side: must be at least 64, got '8'"),
        (["--iou", "0.1"], "argument --iou: must be above 0.1 and at most 1, got '0.1'"),
        (["--source_root", "a", "b"], "--source_root takes one FOLDER, or several OLD=NEW, got a b"),
        (["--source_root", "/a=/b", "/c"], "--source_root takes one FOLDER, or several OLD=NEW"),
        (["--source_root", "/a=/b", "--source_root", "/a/=/c"], "--source_root names /a twice"),
        (["--source_root", "=/b"], "--source_root =/b: expected OLD=NEW, two folders"),
        (["--source_root", "a=/b"], "--source_root a=/b: a must be a whole path, as the detections have it"),
        (["--source_root", "/a=/no/where"], "/no/where: no such file or folder"),
        (["--groundtruth", "x"], "unknown option --groundtruth; did you mean --ground_truth?"),
    ],
)
def test_wrong_options_are_refused(refusal: Callable[..., str], more: list[str], message: str) -> None:
    assert refusal(*more).startswith(message)


def test_ground_truth_that_is_none_is_refused(refusal: Callable[..., str], place: pathlib.Path) -> None:
    said = refusal("--ground_truth", place / "truth.parqet")
    assert said == f"{place}/truth.parqet: no such file or folder; did you mean {place}/truth.parquet?"
    (file,) = (place / "found").glob("*.parquet")
    assert "detections, where ground truth is wanted" in refusal("--ground_truth", file, "--dry_run")
    write_truth(place / "other.parquet", [("zebra.jpg", 0, truth_of(draw_scene(0)))])
    said = refusal("--ground_truth", place / "other.parquet", "--dry_run")
    assert said.startswith(
        "--ground_truth: no image of the detections is in it: the detections speak of 'clip.mp4', the"
    )


def test_ground_truth_of_several_sets_counts_as_one(
    place: pathlib.Path, command: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    more = write_truth(place / "more/t.parquet", [("scene_002.jpg", 0, truth_of(draw_scene(2)))])
    once = ("--ground_truth", place / "truth.parquet", more)
    twice = ("--ground_truth", place / "truth.parquet", "--ground_truth", more)
    for output, truths in {"once": once, "twice": twice}.items():
        assert render.main(command(*truths, "--isolation", "none", output=output)) == 0
        assert "2 without ground truth" in capsys.readouterr().out


def test_the_help_names_every_option_and_what_comes_out(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        render.main(["--help"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: boxbeam render ")
    for word in (
        "--detections",
        "--source_root",
        "--ground_truth",
        "--layout",
        "--min_score",
        "--codec",
        "--crf",
        "--only",
        "--sample",
        "--max_side",
        "val.tfrecord/000012",
    ):
        assert word in said


def test_records_whose_file_is_away_fail_as_a_whole(
    place: pathlib.Path, command: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    content = io.BytesIO()
    write_record(content, b"not looked into")
    (place / "in/val.tfrecord").write_bytes(content.getvalue())
    told = {"val.tfrecord": [row_of("a", draw_scene(0), "record", record_index=0)]}
    told["scene_000.jpg"] = [row_of("scene_000.jpg", draw_scene(0))]
    detect(place / "in", place / "found", told)
    storage.remove([str(place / "in/val.tfrecord")])
    assert render.main(command("--isolation", "none")) == 3
    assert f"val.tfrecord: the original lies no longer at {place}/in/val.tfrecord" in capsys.readouterr().out
