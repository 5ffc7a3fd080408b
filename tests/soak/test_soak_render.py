"""render on hundreds of images and videos in ranges, good and bad, killed at random: every file as of a quiet run."""

import pathlib
import sys

import pytest

from od_core.schemas import FrameRow
from tests.blocks_scene import write_video
from tests.pipelines.render_files import detect, row_of
from tests.soak.kills import SECONDS, files_in, repeatable, run_quietly_and_killed
from tests.soak.pictures import Pictures

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]

# Items of a fraction of a second, and videos in ranges of one group of pictures.
LAUNCHER = """
import sys
from pipelines.grouping import ItemLimit
from pipelines.render import job
job._ITEM_LIMITS = {"image": ItemLimit(12, 1 << 30), "video": ItemLimit(1, 1 << 30)}
make = job.RenderJob.__init__
job.RenderJob.__init__ = lambda self, *args, **options: make(self, *args, **{**options, "range_bytes": RANGE_BYTES})
from beam_jobs.render import main
sys.exit(main())
"""

IMAGES = 300
VIDEOS = 6
FRAMES = 75


def write_detections(found: pathlib.Path, folder: pathlib.Path) -> int:
    """Images and videos in a folder, about one in ten of them bad, and all that is in them as detections.

    Returns:
        The bytes of a range of which a video has four.
    """
    originals = folder.with_name("originals")
    pictures = Pictures(originals)
    told: dict[str, list[FrameRow]] = {}
    for number in range(IMAGES):
        key = f"day_{number // 100}/{number:04}.jpg"
        told[key] = [row_of(key, pictures.link(number, folder / key))]
    scenes = write_video(originals / "clip.mkv", FRAMES)
    clip = (originals / "clip.mkv").read_bytes()
    (originals / "cut.mkv").write_bytes(clip[: len(clip) * 2 // 3])
    for number in range(VIDEOS):
        key = f"clip_{number}.mkv"
        (folder / key).symlink_to(originals / ("cut.mkv" if number == 3 else "clip.mkv"))
        told[key] = [row_of(key, scene, "video", frame_index=index) for index, scene in enumerate(scenes)]
    detect(folder, found, told)
    return len(clip) // 4


def test_killed_at_random_the_pictures_are_those_of_a_quiet_run(tmp_path: pathlib.Path) -> None:
    range_bytes = write_detections(tmp_path / "found", tmp_path / "in")
    launcher = LAUNCHER.replace("RANGE_BYTES", str(range_bytes))
    options = {"detections": tmp_path / "found", "isolation": "process", "workers": 2}
    command = [sys.executable, "-c", launcher, *(f"--{name}={value}" for name, value in options.items())]
    with repeatable(tmp_path):
        quiet, killed = run_quietly_and_killed("render", command, tmp_path, SECONDS / 4)
        expected = files_in(quiet)
        assert len(expected) > 0.9 * IMAGES
        assert files_in(killed) == expected
