"""What a run would cost: a probe that really runs the model, and arithmetic from it that can be checked by hand."""

import math
import pathlib

import pytest

from beam_jobs import infer
from beam_jobs.infer_estimate_text import estimate_text
from pipelines.infer.estimate import estimate
from pipelines.infer.probe import KindToDo, Probe, Sample
from tests.blocks_model import BLOCKS_LABEL_MAP, write_frozen_graph
from tests.blocks_scene import write_images, write_video


def probe(*seconds_per_video: float) -> Probe:
    """100 images of 0.1 s each; 1,000 bytes of video, of which each sample did 10, in one frame with two detections."""
    images = [Sample(8, 800, 8, 0.8, {"images": 8, "detections": 8})] * 4
    videos = [Sample(1, 10, 10, seconds, {"frames": 1, "detections": 2}) for seconds in seconds_per_video]
    to_do = {"image": KindToDo(100, 10_000, 100, 64), "video": KindToDo(20, 1000, 1000, 200)}
    return Probe(5.0, to_do, {"image": images, "video": videos} if videos else {"image": images})


def test_time_work_and_output_are_the_means_times_what_there_is() -> None:
    made = estimate(probe(1.0, 3.0), workers=10)
    images, videos = made.kinds
    assert (images.units, images.core_seconds, images.error) == (100, pytest.approx(10), pytest.approx(0, abs=1e-9))
    assert (videos.units, videos.core_seconds) == (pytest.approx(100), pytest.approx(200))
    assert videos.error == pytest.approx(6.31 * math.sqrt(2) / math.sqrt(2) / 10 * 1000)  # t of one degree of freedom
    assert made.longest_item == pytest.approx(200 * 0.2)
    assert made.seconds(made.core_seconds) == pytest.approx(5 + 40 + 120e-4), "no run is shorter than its longest item"
    assert made.worker_hours == pytest.approx(10 * 45 / 3600)
    assert (made.rows, made.output_bytes) == (pytest.approx(200), pytest.approx(200 * 4 + 300 * 27))


def test_more_workers_than_the_longest_item_can_use_are_told() -> None:
    said = estimate_text(estimate(probe(2.0, 2.0), workers=10), 0.5, on_gpu=False).splitlines()
    assert "    the longest item takes 40.0 s: 6 workers would do" in said
    assert "  work: 3 min 30 s of one such core ± 0% (90% sure)" in said
    assert "  cost: 0.06, at 0.5 for a worker and hour" in said


def test_one_sample_is_said_to_be_no_certainty() -> None:
    made = estimate(probe(2.0), workers=1)
    said = estimate_text(made, None, on_gpu=True)
    assert "of one such GPU (from one sample alone: may be far off)" in said
    assert "cost" not in said


def test_the_command_measures_on_the_inputs_and_writes_nothing(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_frozen_graph(tmp_path / "model.pb")
    (tmp_path / "labels.pbtxt").write_text(BLOCKS_LABEL_MAP)
    write_images(tmp_path / "in", 20)
    (tmp_path / "in/broken.jpg").write_bytes(b"not an image")
    write_video(tmp_path / "in/clip.mp4", 30)
    argv = ["--model", "model.pb", "--label_map", "labels.pbtxt", "--input", "in", "--output", "out"]
    argv = [argument if argument.startswith("--") else str(tmp_path / argument) for argument in argv]
    before = sorted(tmp_path.rglob("*"))
    assert infer.main([*argv, "--dry_run", "--assume_workers", "200", "--cost_per_hour", "0.05"]) == 0
    assert sorted(tmp_path.rglob("*")) == before
    said = capsys.readouterr().out
    assert "inputs: 21 images, 1 video" in said
    assert "  images: 21 of 21 looked at" in said
    assert "20 images: about 21 images in all" in said
    assert "  videos: 1 of 1 looked at" in said
    assert "30 frames: about 30 frames in all" in said
    assert "with 200 workers of one core each" in said
    assert "at 0.05 for a worker and hour" in said


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--assume_workers", "5"], "give --dry_run with it"),
        (["--dry_run", "--cost_per_hour", "1"], "say with --dry_run --assume_workers N how many"),
        (["--dry_run", "--assume_workers", "0"], "must be a whole number of at least 1, got '0'"),
    ],
)
def test_what_makes_no_sense_is_refused(capsys: pytest.CaptureFixture[str], more: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        infer.main(["--model", "m", "--label_map", "l", "--input", "i", "--output", "o", *more])
    assert message in capsys.readouterr().err
