"""What a person sees of a run of infer: the table at its end, the same in run.json, and the log file."""

import collections
import json
import pathlib
import re

import pyarrow.parquet as pq
import pytest

from beam_jobs import infer
from tests.blocks_model import write_frozen_graph
from tests.blocks_scene import write_images, write_video

TIMES = re.compile(
    r"  time: start-up [\d.]+ s, first result after [\d.]+ s;"
    r" decode [\d.]+ s, model [\d.]+ s, write [\d.]+ s \(all 1 thread together\); finalize [\d.]+ s"
)


@pytest.fixture
def place(tmp_path: pathlib.Path) -> pathlib.Path:
    """A model, a label map that lacks class 3, and inputs good and bad."""
    write_frozen_graph(tmp_path / "model.pb")
    (tmp_path / "labels.pbtxt").write_text("item { id: 1 name: 'red' } item { id: 2 name: 'green' }")
    write_images(tmp_path / "in", 3)
    write_video(tmp_path / "in/clip.mp4", 20)
    (tmp_path / "in/bad.jpg").write_text("no image")
    (tmp_path / "in/worse.mp4").write_bytes(b"\0" * 3000)
    return tmp_path


def run(place: pathlib.Path, *more: str) -> int:
    command = ["--model", "model.pb", "--label_map", "labels.pbtxt", "--input", "in", "--output", "out"]
    paths = [word if word.startswith("--") else str(place / word) for word in command]
    quietly = ["--isolation", "none", "--progress", "off", "--workers", "1", "--log_file", str(place / "night.log")]
    return infer.main([*paths, *quietly, *more])


def counted_in_rows(output: pathlib.Path) -> dict[str, dict[str, int]]:
    rows = pq.read_table(sorted(output.glob("*.parquet"))).to_pylist()
    found = [one for row in rows for one in row["detections"] or []]
    return {
        "by_class": dict(collections.Counter(one["label"] or f"class {one['class_id']}" for one in found)),
        "by_reason": dict(
            collections.Counter(f"{r['error']['stage']}: {r['error']['type']}" for r in rows if r["error"])
        ),
    }


def test_the_table_at_the_end_says_what_run_json_and_the_rows_say(
    place: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place) == 3
    printed = capsys.readouterr().out
    report = json.loads((place / "out/run.json").read_text())
    rows = counted_in_rows(place / "out")
    assert rows["by_class"].keys() == {"red", "green", "class 3"}
    assert rows["by_reason"] == {"decode: ImageError": 1, "decode: VideoError": 1}
    for name, title in (("by_class", "detections by class"), ("by_reason", "failed rows by reason")):
        assert report["dataset"][name] == rows[name]
        table = printed.split(f"  {title}:\n")[1].splitlines()[: len(rows[name])]
        said = [line.split(maxsplit=1) for line in table]
        assert {label: int(count.replace(",", "")) for count, label in said} == rows[name]
    assert report["dataset"]["detections"] == sum(rows["by_class"].values())
    assert (report["this_run"]["frames"], report["this_run"]["images"]) == (20, 3)
    (times,) = [line for line in printed.splitlines() if line.startswith("  time: ")]
    assert TIMES.fullmatch(times)
    told = dict(re.findall(r"(start-up|first result after|decode|model|write|finalize) ([\d.]+) s", times))
    seconds = {**report["seconds"], **report["step_seconds"]}
    for words, name in (("start-up", "start_up"), ("first result after", "first_result"), *((w, w) for w in told)):
        if name in seconds:
            assert float(told[words]) == pytest.approx(seconds[name], abs=0.051), words
    assert seconds["start_up"] <= seconds["first_result"] <= seconds["total"]
    assert report["step_seconds"].keys() == {"decode", "model", "write"}
    assert all(value > 0 for value in report["step_seconds"].values())


def test_a_later_run_counts_only_what_is_new_and_a_changed_input_anew(
    place: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place) == 3
    write_images(place / "in/more", 2)
    (place / "in/scene_001.jpg").write_bytes((place / "in/scene_002.jpg").read_bytes())
    assert run(place) == 3
    rows = counted_in_rows(place / "out")
    said = json.loads((place / "out/run.json").read_text())["dataset"]
    assert {name: said[name] for name in rows} == rows
    capsys.readouterr()
    assert run(place) == 3
    printed = capsys.readouterr().out
    assert printed.startswith("infer: nothing to do")
    assert f"{rows['by_class']['red']:,}  red\n" in printed


def test_the_log_file_tells_of_failures_and_how_each_run_ended(
    place: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place) == 3
    printed = capsys.readouterr().out
    assert run(place, "--min_score", "0.5") == 2
    lines = (place / "night.log").read_text().splitlines()
    messages = [
        line.split(" ", 1)[1] for line in lines if re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d ", line)
    ]
    assert messages[:2] == [f"boxbeam infer into {place}/out", "6 inputs; starting"]
    assert any(message.startswith("first result after ") for message in messages)
    assert any(message.startswith("failed: bad.jpg: not a supported image") for message in messages)
    assert any(message.startswith("failed: worse.mp4: ") for message in messages)
    assert messages[-2] == f"boxbeam infer into {place}/out"
    assert messages[-1].startswith(f"refused: {place}/out: was made with other options")
    said = "\n".join(lines)
    for line in printed.splitlines():
        assert line in said
    assert run(place, "--log_file", str(place / "no/such/night.log")) == 2
    assert "night.log: cannot be written (No such file or directory)" in capsys.readouterr().err
