"""Make the pictures of README.md from what the demo renders: python docs/make_pictures.py (or make pictures)."""

import pathlib
import sys
import tempfile

from PIL import Image

from beam_jobs import demo
from od_core.images import encode_jpeg
from od_core.video import VideoFrame, read_video

FOLDER = pathlib.Path(__file__).parent / "images"
FRAMES = slice(60, 180, 4)  # the bridge hides a ship in these
WIDTH = 840
MILLISECONDS = 160


def main() -> int:
    """Run the demo and keep a still and a short animation of what it renders."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        status = demo.main(["--output", scratch])
        if status:
            return status
        shown = [
            frame.image
            for frame in read_video(pathlib.Path(scratch, "pictures", "harbour.mp4"))
            if isinstance(frame, VideoFrame) and frame.index in range(FRAMES.start, FRAMES.stop, FRAMES.step)
        ]
    height = round(shown[0].shape[0] * WIDTH / shown[0].shape[1])
    smaller = [Image.fromarray(image).resize((WIDTH, height), Image.Resampling.LANCZOS) for image in shown]
    smaller[0].save(
        FOLDER / "harbour.webp", save_all=True, append_images=smaller[1:], duration=MILLISECONDS, loop=0, quality=60
    )
    (FOLDER / "frame.jpg").write_bytes(encode_jpeg(shown[len(shown) // 2], 85))
    (FOLDER / "frame.jpg").write_bytes(encode_jpeg(shown[len(shown) // 2], 85))
    return 0


if __name__ == "__main__":
    sys.exit(main())
