"""Make the pictures of README.md from what the demo renders: python docs/make_pictures.py (or make pictures).

Those of the review pages are taken with Chromium (apt-get install chromium).
"""

import io
import pathlib
import sys
import tempfile

from PIL import Image

from beam_jobs import demo, review
from od_core.images import encode_jpeg
from od_core.video.frames import VideoFrame, read_video
from tests.browser.chromium import Chromium, find_chromium

FOLDER = pathlib.Path(__file__).parent / "images"
FRAMES = slice(60, 180, 4)  # the bridge hides a ship in these
WIDTH = 840
MILLISECONDS = 160
WINDOW = (1180, 760)
VIDEO_ITEM = 40  # behind the demo's forty pictures
MOMENT = 4.4


def main() -> int:
    """Run the demo; keep a still and a short animation of what it renders, and look at it in review pages."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        status = demo.main(["--output", scratch]) or _review(folder)
        if status:
            return status
        shown = [
            frame.image
            for frame in read_video(folder / "pictures" / "harbour.mp4")
            if isinstance(frame, VideoFrame) and frame.index in range(FRAMES.start, FRAMES.stop, FRAMES.step)
        ]
        _photograph(folder)
    height = round(shown[0].shape[0] * WIDTH / shown[0].shape[1])
    smaller = [Image.fromarray(image).resize((WIDTH, height), Image.Resampling.LANCZOS) for image in shown]
    smaller[0].save(
        FOLDER / "harbour.webp", save_all=True, append_images=smaller[1:], duration=MILLISECONDS, loop=0, quality=60
    )
    (FOLDER / "frame.jpg").write_bytes(encode_jpeg(shown[len(shown) // 2], 85))
    return 0


def _review(folder: pathlib.Path) -> int:
    truth = [folder / "records", folder / "scene" / "video_ground_truth.parquet"]
    ask = ["--detections", folder / "detections", "--output", folder / "pages", "--evaluation", folder / "metrics"]
    return review.main([*map(str, ask), "--ground_truth", *map(str, truth)])


def _photograph(folder: pathlib.Path) -> None:
    """The overview by day, and the page of the video by night."""
    program = find_chromium()
    if program is None:
        print("no Chromium: the pictures of the review pages stay as they are", file=sys.stderr)
        return
    index = (folder / "pages" / "index.html").as_uri()
    profile = folder / "profile"
    profile.mkdir()
    browser = Chromium(program, profile)
    try:
        for name, fragment in (("review", "overview"), ("review_video", f"item/{VIDEO_ITEM}")):
            browser.resize(*WINDOW, dark=name == "review_video")
            browser.open(f"{index}#/{fragment}")
            browser.wait("document.body && 'ready' in document.body.dataset")
            if name == "review_video":
                browser.wait("document.querySelector('video').readyState >= 2")
                browser.run(f"document.querySelector('video').currentTime = {MOMENT}")
                browser.wait(f"document.querySelector('.told').textContent.includes('0:0{MOMENT}')")
            browser.wait("[...document.images].every((image) => image.complete)")
            browser.run("document.fonts.ready.then(() => true)")
            browser.screenshot(picture := folder / "page.png")
            Image.open(io.BytesIO(picture.read_bytes())).convert("RGB").save(FOLDER / f"{name}.webp", quality=72)
    finally:
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
