"""A made scene for tests: coloured blocks drifting over a grey, noisy ground, with exact boxes.

It goes with `blocks_model`, which finds blocks of these three colours. Neither is a photograph nor a trained model.
"""

import io
import pathlib
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

COLOURS = {1: (230, 40, 40), 2: (40, 220, 40), 3: (40, 60, 235)}
"""Class id of `blocks_model` -> RGB."""


class Scene(NamedTuple):
    """One picture and what is in it.

    image: uint8 (height, width, 3) RGB; boxes_px: class id -> (ymin, xmin, ymax, xmax) in whole pixels, max exclusive.
    """

    image: npt.NDArray[np.uint8]
    boxes_px: dict[int, tuple[int, int, int, int]]


def draw_scene(number: int, *, width: int = 320, height: int = 240, seed: int = 0) -> Scene:
    """The scene at one moment. Blocks keep to lanes of their own, so they never cover each other.

    Args:
        number: time; one block leaves and comes back, so some scenes hold two blocks and some three.
        width, height: in pixels, 24 or more.
        seed: another seed, other sizes, speeds and noise.
    """
    rng = np.random.default_rng((seed, number))
    image = rng.integers(100, 140, (height, width, 3), dtype=np.uint8)
    layout = np.random.default_rng(seed)
    boxes = {}
    for lane, (class_id, colour) in enumerate(COLOURS.items()):
        high, wide = (int(layout.integers(height // 8, height // 4)) for _ in range(2))
        wide = min(wide, width // 2)
        speed, phase = int(layout.integers(2, 7)), int(layout.integers(0, width))
        if class_id == 3 and number % 4 == 3:
            continue
        top = lane * height // 3 + height // 24
        left = (phase + speed * number) % (width - wide)
        image[top : top + high, left : left + wide] = colour
        boxes[class_id] = (top, left, top + high, left + wide)
    return Scene(image, boxes)


def jpeg(image: npt.NDArray[np.uint8], *, quality: int = 95) -> bytes:
    """A picture as JPEG, colours not subsampled, so that edges stay where they are."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


def write_images(folder: pathlib.Path, count: int, **scene: int) -> list[Scene]:
    """Write scenes as scene_000.jpg, scene_001.jpg, ...; returns them."""
    folder.mkdir(parents=True, exist_ok=True)
    scenes = [draw_scene(number, **scene) for number in range(count)]
    for number, one in enumerate(scenes):
        (folder / f"scene_{number:03d}.jpg").write_bytes(jpeg(one.image))
    return scenes


def write_video(path: pathlib.Path, frames: int, *, rate: int = 25, **scene: int) -> list[Scene]:
    """Write scenes as an H.264 video; returns them. Colours are kept in full (4:4:4), so boxes stay exact."""
    scenes = [draw_scene(number, **scene) for number in range(frames)]
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, _ = scenes[0].image.shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate), options={"crf": "12", "bf": "2", "g": "25"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv444p"
        stream.thread_count = 1
        for one in scenes:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(one.image, format="rgb24")))
        container.mux(stream.encode(None))
    return scenes
