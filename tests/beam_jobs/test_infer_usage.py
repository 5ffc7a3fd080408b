"""Wrong usage of infer: status 2 within the first moments, and one line that says what was found and what to do."""

import os
import pathlib
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction

import pytest

from beam_jobs import infer
from od_core.label_map import read_label_map
from od_core.model.detector import find_model
from od_core.model.tensors import ModelTensors
from od_core.video.sampling import Sampling
from pipelines.dataset import Manifest
from pipelines.infer.job import InferJob

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
LABEL_MAP = "item { id: 1 name: 'cat' }"


@pytest.fixture
def place(tmp_path) -> pathlib.Path:
    """A folder with photos/a.jpg, a label map and what passes for a frozen graph until TensorFlow opens it."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"not looked into")
    (tmp_path / "labels.pbtxt").write_text(LABEL_MAP)
    (tmp_path / "model.pb").write_bytes(b"not opened")
    return tmp_path


@pytest.fixture
def command(place) -> Callable[..., list[str]]:
    """The arguments of a proper command line, with some replaced; True is a flag without a value."""

    def made(**changes: object) -> list[str]:
        arguments = {
            "model": place / "model.pb",
            "label_map": place / "labels.pbtxt",
            "input": place / "photos",
            "output": place / "out",
            **changes,
        }
        argv = []
        for name, value in arguments.items():
            values = value if isinstance(value, list) else [] if value is True else [value]
            argv += [f"--{name}", *map(str, values)]
        return argv

    return made


@pytest.fixture
def refusal(command, place, capsys) -> Callable[..., str]:
    """What a command line is refused with; nothing was written."""

    def refused(**changes: object) -> str:
        before = _files(place)
        try:
            status = infer.main(command(**changes))
        except SystemExit as stopped:  # argparse's way, for a missing or malformed value
            status = stopped.code
        printed = capsys.readouterr()
        assert (status, printed.out) == (2, ""), printed.err
        assert printed.err.startswith("boxbeam infer: error: ")
        assert printed.err.count("\n") == 1, "more than one line"
        assert "Traceback" not in printed.err
        assert _files(place) == before
        return printed.err.removeprefix("boxbeam infer: error: ").removesuffix("\n")

    return refused


def _files(folder: pathlib.Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def test_a_dry_run_of_the_proper_command_line_prints_the_plan_and_writes_nothing(command, place, capsys):
    (place / "photos" / "clip.mp4").write_bytes(bytes(3000))
    (place / "photos" / "notes.odt").write_bytes(b"x")
    before = _files(place)
    assert infer.main(command(dry_run=True, workers=2)) == 0
    assert _files(place) == before
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.splitlines() == [
        f"infer: plan for {place / 'out'} (nothing is done)",
        "  inputs: 1 image, 1 video (2.9 KiB)",
        "  to do:  1 image, 1 video (2.9 KiB) in 2 items",
        "  with:   1 item process, 2 threads each",
        "  passed over: 1 .odt",
    ]


def test_inputs_given_by_two_options_are_all_taken(command, place, capsys):
    (place / "b.jpg").write_bytes(b"x")
    assert infer.main([*command(dry_run=True), "--input", str(place / "b.jpg")]) == 0
    assert "inputs: 2 images" in capsys.readouterr().out


# What is to be found


def test_a_missing_input_is_named_with_its_nearest_neighbour(refusal, place):
    assert refusal(input=place / "fotos") == f"{place}/fotos: no such file or folder; did you mean {place}/photos?"
    assert refusal(input=place / "zzzzzz") == f"{place}/zzzzzz: no such file or folder"
    assert refusal(input=place / "no" / "where") == f"{place}/no/where: no such file or folder"


def test_one_missing_input_among_good_ones_is_refused_too(refusal, place):
    assert refusal(input=[place / "photos", place / "gone.mp4"]).startswith(f"{place}/gone.mp4: no such file")


def test_an_empty_folder_is_refused(refusal, place):
    (place / "empty" / "below").mkdir(parents=True)
    said = refusal(input=place / "empty")
    assert said == f"{place}/empty: no images, videos or TFRecord files in there (it is empty)"


def test_a_folder_without_usable_files_is_refused_with_what_it_holds(refusal, place):
    (place / "docs").mkdir()
    for name in ("a.pdf", "b.PDF", "README", ".hidden.jpg"):
        (place / "docs" / name).write_bytes(b"x")
    said = refusal(input=place / "docs")
    assert said == (f"{place}/docs: no images, videos or TFRecord files in there (found: 2 .pdf, 1 without extension)")


def test_a_pattern_that_matches_nothing_is_refused(refusal, place):
    said = refusal(input=place / "photos" / "*.png")
    assert said == f"{place}/photos/*.png: this pattern matches no file; quote it, so that the shell leaves it alone"


@pytest.mark.parametrize("name", ["report.pdf", "labels.pbtxt", "model.pb"])
def test_a_file_of_another_kind_is_refused_with_the_kinds_there_are(refusal, place, name):
    (place / "report.pdf").write_bytes(b"x")
    said = refusal(input=place / name)
    ending = name[name.index(".") :]
    assert said.startswith(f"{place / name}: not an input this job knows ({ending}); give images,")
    assert "a .txt file that lists them" in said


@pytest.mark.parametrize("content", ["", "\n# photos/a.jpg\n\n", "notes.odt\nreport.pdf\n"])
def test_a_list_that_names_nothing_useful_is_refused(refusal, place, content):
    (place / "list.txt").write_text(content)
    said = refusal(input=place / "list.txt")
    assert said.startswith(f"{place}/list.txt: no images, videos or TFRecord files in there (")


def test_a_list_that_is_no_text_is_refused(refusal, place):
    (place / "list.txt").write_bytes("café.jpg\n".encode("latin-1"))
    assert "a list of inputs must be UTF-8 text, one path a line" in refusal(input=place / "list.txt")


@pytest.mark.parametrize("dry_run", [{}, {"dry_run": True}])
def test_a_path_to_nowhere_is_refused_in_a_dry_run_as_well(refusal, place, dry_run):
    assert "no such file or folder" in refusal(input=place / "gone", **dry_run)


def test_two_inputs_with_the_same_key_are_refused_by_both_names(refusal, place, command):
    (place / "more").mkdir()
    (place / "more" / "a.jpg").write_bytes(b"another")
    said = refusal(input=[place / "photos", place / "more"], dry_run=True)
    assert said.startswith("two inputs would both be called 'a.jpg': ")
    assert f"{place}/photos/a.jpg" in said
    assert f"{place}/more/a.jpg" in said
    assert "common parent folder" in said


def test_the_same_file_reached_by_two_inputs_is_one_input(command, place, capsys):
    assert infer.main(command(input=[place / "photos", place / "photos" / "a.jpg"], dry_run=True)) == 0
    assert "inputs: 1 image (" in capsys.readouterr().out


# The label map


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("item { name: 'cat' }", ':1: "cat" has no id: give it one of its own, counted from 1'),
        ("cat\ndog\n", ':1: this is a plain list of names; write it as item { id: 1 name: "cat" } item { id: 2'),
        ("", ":1: the label map is empty"),
    ],
)
def test_a_label_map_that_makes_no_sense_is_refused_with_its_line(refusal, place, content, message):
    (place / "labels.pbtxt").write_text(content)
    said = refusal()
    assert said.startswith(f"{place}/labels.pbtxt{message}")
    assert said.endswith('Every class is written as: item { id: 1 name: "cat" }')


def test_a_label_map_that_is_not_there_or_no_file_is_refused(refusal, place):
    gone = refusal(label_map=place / "gone.pbtxt")
    assert gone == f"{place}/gone.pbtxt: cannot read the label map: No such file or directory"
    assert refusal(label_map=place).endswith("cannot read the label map: not a regular file")


# The model


def test_a_model_that_is_not_there_is_refused(refusal, place):
    said = refusal(model=place / "gone")
    assert said.startswith(f"no model at '{place}/gone': expected a SavedModel folder, an export folder or a frozen")


def test_a_folder_without_a_model_is_refused_with_what_it_holds(refusal, place):
    said = refusal(model=place / "photos")
    assert said.startswith(f"no model in {place}/photos: expected saved_model.pb, ")
    assert "found a.jpg" in said


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("weights.h5", "is a Keras weights file: export it as a SavedModel"),
        ("model.tflite", "is a TensorFlow Lite model, which boxbeam does not run"),
        ("notes.txt", "is not a model that boxbeam can open"),
    ],
)
def test_a_file_that_is_another_kind_of_model_is_refused_with_the_way_out(refusal, place, name, why):
    (place / name).write_bytes(b"x")
    said = refusal(model=place / name)
    assert said.startswith(f"{place / name} {why}")
    assert said.endswith("It opens SavedModel folders and frozen graphs (.pb).")


@pytest.mark.parametrize("option", ["model", "label_map", "input", "output"])
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("gs://bucket/a", "gs:// needs a package that is not installed: pip install google-cloud-storage"),
        ("hdfs://a", "hdfs:// needs a package that is not installed: pip install hdfs"),
        ("https://a.org/b", "no file system of this kind is known: there are local paths, s3://, gs://, hdfs://"),
    ],
)
def test_what_a_file_system_needs_is_said(refusal, monkeypatch, option, path, words):
    monkeypatch.setattr("pipelines.remote.file_systems._is_installed", lambda module: False)
    assert f"{path}: {words}" in refusal(**{option: path})


# The output


def test_a_file_where_the_output_folder_should_be_is_refused(refusal, place):
    (place / "taken").write_text("mine")
    said = refusal(output=place / "taken")
    assert said == f"{place}/taken: cannot be the output folder: it is not a folder; choose another --output"
    said = refusal(output=place / "taken" / "below" / "it")
    assert said.endswith(f"cannot be the output folder: {place}/taken is not a folder; choose another --output")


def _manifest(**changes: object) -> str:
    fields = {"job": "infer", "schema": "boxbeam.detections/1", "options": {}, "provenance": {}, "counts": {}}
    return Manifest(**{**fields, "files": (), **changes}).to_text()


@pytest.mark.parametrize("dry_run", [{}, {"dry_run": True}])
def test_the_output_of_another_job_is_refused(refusal, place, dry_run):
    (place / "out").mkdir()
    (place / "out" / "manifest.json").write_text(_manifest(job="convert", schema="boxbeam.records/1"))
    said = refusal(**dry_run)
    assert said.startswith(f"{place}/out: holds the output of boxbeam convert (boxbeam.records/1), not of infer")
    assert said.endswith("choose another --output, or replace it with --overwrite")


def test_an_output_made_with_other_options_is_refused_with_each_difference(refusal, place, command, capsys):
    model, labels = find_model(place / "model.pb"), read_label_map(place / "labels.pbtxt")
    job = InferJob(model.path, model.digest(), labels, min_score=0.25, max_detections=10)
    (place / "out").mkdir()
    (place / "out" / "manifest.json").write_text(_manifest(options=dict(job.options)))
    said = refusal(max_detections=10)
    assert "--min_score was 0.25, now 0 for images" in said
    assert "--max_detections" not in said
    assert "--model" not in said
    assert said.endswith("choose another --output, repeat the former options, or start anew with --overwrite")
    assert infer.main(command(max_detections=10, min_score=0.25, dry_run=True)) == 0
    capsys.readouterr()


@pytest.mark.parametrize("content", [b'{"name": "somebody\'s extension"}', b"[]", b"hello", b"\xff\xfe"])
def test_a_manifest_of_somebody_else_is_left_alone(refusal, place, content):
    (place / "out").mkdir()
    (place / "out" / "manifest.json").write_bytes(content)
    said = refusal()
    assert said.startswith(f"{place}/out/manifest.json: not a manifest that this boxbeam wrote (")
    assert "choose another --output" in said


# Which frames


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": 2, "every": 3}, "argument --every: not allowed with argument --fps"),
        ({"fps": 0}, "argument --fps: must be a number above 0, such as 2, 0.5 or 30000/1001, got '0'"),
        ({"every": 0}, "argument --every: must be a whole number of at least 1, got '0'"),
        ({"start": 10, "end": "0:09.5"}, "--end 9.5 is not after --start 10"),
        ({"start": -1}, "argument --start: must be seconds, or [hours:]minutes:seconds as in 1:30, got '-1'"),
    ],
)
def test_frames_that_cannot_be_chosen_are_refused(refusal, changes, message):
    assert refusal(**changes).startswith(message)


def test_an_output_of_other_frames_is_refused_and_equal_ones_are_known_again(refusal, place, command, capsys):
    model, labels = find_model(place / "model.pb"), read_label_map(place / "labels.pbtxt")
    job = InferJob(model.path, model.digest(), labels, sampling=Sampling(fps=Fraction(5, 2), start=Fraction(90)))
    (place / "out").mkdir()
    (place / "out" / "manifest.json").write_text(_manifest(options=dict(job.options)))
    said = refusal()
    assert "--fps was 5/2, now not there" in said
    assert "--start was 90 s, now not there" in said
    assert infer.main(command(fps="2.50", start="1:30", dry_run=True)) == 0
    capsys.readouterr()


# Models of other names


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output_tensors": "boxes=a"}, "--output_tensors: say which output gives the scores"),
        ({"output_tensors": "box=a,scores=b,classes=c"}, "--output_tensors: a model has no output for 'box'"),
        ({"box_format": "xywh"}, "--box_format: 'xywh' is not one of ymin_xmin_ymax_xmax, "),
        ({"first_class_id": 2}, "argument --first_class_id: invalid choice: 2"),
    ],
)
def test_tensors_that_cannot_be_meant_are_refused(refusal, changes, message):
    assert refusal(**changes).startswith(message)


def test_an_output_of_other_tensors_is_refused(refusal, place):
    model, labels = find_model(place / "model.pb"), read_label_map(place / "labels.pbtxt")
    job = InferJob(model.path, model.digest(), labels, tensors=ModelTensors("x", box_format="cx_cy_w_h"))
    (place / "out").mkdir()
    (place / "out" / "manifest.json").write_text(_manifest(options=dict(job.options)))
    said = refusal(input_tensor="y")
    assert "--box_format was cx_cy_w_h, now not there" in said
    assert "--input_tensor was x, now y" in said


# Values that are missing or empty


@pytest.mark.parametrize("name", ["model", "label_map", "input", "output"])
def test_an_empty_path_is_refused_by_its_option(refusal, name):
    """As from a shell variable that is not set: --output "$OUT"."""
    assert refusal(**{name: ""}) == (
        f"argument --{name}: must be a path, got an empty string (see boxbeam infer --help)"
    )


def test_what_is_required_is_named(capsys):
    with pytest.raises(SystemExit) as stopped:
        infer.main([])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == (
        "boxbeam infer: error: the following arguments are required: --model, --label_map, --input, --output"
        " (see boxbeam infer --help)\n"
    )


def test_an_unknown_runner_is_refused_before_anything_is_written(refusal):
    assert "no runner called 'FlinkRuner'; did you mean FlinkRunner?" in refusal(runner="FlinkRuner")


# What depends on whose files they are: in a process that is nobody special, even if this one is root's

_AS_NOBODY_SPECIAL = """
import ctypes, os, sys
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: root's right to pass over permissions
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; fails, and need not succeed, for others
os.execv(sys.executable, [sys.executable, "-m", "beam_jobs.infer", *sys.argv[1:]])
"""


def _said_to_nobody_special(argv: list[str], status: int) -> str:
    run = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY_SPECIAL, *argv], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert (run.returncode, run.stdout) == (status, ""), run.stderr
    assert run.stderr.count("\n") == 1
    return run.stderr


def test_an_output_that_may_not_be_written_is_refused(command, place):
    (place / "locked").mkdir(mode=0o555)
    said = _said_to_nobody_special(command(output=place / "locked" / "deep" / "out"), status=2)
    assert f"{place}/locked/deep/out: cannot be written: no permission to write in {place}/locked; choose" in said
    assert os.listdir(place / "locked") == []


def test_a_model_that_may_not_be_read_is_refused(command, place):
    (place / "model.pb").chmod(0)
    said = _said_to_nobody_special(command(), status=2)
    assert f"{place}/model.pb: the model cannot be read (Permission denied)" in said


def test_a_folder_that_may_not_be_read_stops_the_run_and_leaves_nothing(command, place):
    """Perhaps only a disk that was not mounted: no wrong usage, so status 1, but nothing was begun either."""
    (place / "photos").chmod(0)
    said = _said_to_nobody_special(command(), status=1)
    assert said == f"boxbeam infer: stopped: {place}/photos: this folder cannot be read (Permission denied)\n"
    assert not (place / "out").exists()
