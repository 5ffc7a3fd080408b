"""Pictures for thousands of inputs: links to a few dozen files; about one in ten is bad in some way."""

import pathlib

import numpy as np

from tests.blocks_scene import Scene, draw_scene, jpeg

_GOOD = 40


class Pictures:
    """A few dozen files of 480 x 360 pixels, good and bad."""

    def __init__(self, folder: pathlib.Path):
        """Write them into a folder of their own."""
        folder.mkdir()
        self._folder = folder
        self.scenes = [draw_scene(number, width=480, height=360) for number in range(_GOOD)]
        self.good = [jpeg(scene.image, quality=85) for scene in self.scenes]
        for number, picture in enumerate(self.good):
            (folder / f"good_{number:02}.jpg").write_bytes(picture)
        (folder / "bad_0.jpg").write_bytes(self.good[0][: len(self.good[0]) // 2])
        (folder / "bad_1.jpg").write_text("<html>404</html>")
        (folder / "bad_2.jpg").write_bytes(b"")
        (folder / "bad_3.jpg").write_bytes(b"\xff\xd8\xff" + np.random.default_rng(0).bytes(3000))

    def link(self, number: int, place: pathlib.Path) -> Scene:
        """Put one of them at a place, as the input of this number; what is to be seen in it, were it good."""
        original = number * 7 % _GOOD
        name = f"bad_{number // 10 % 4}.jpg" if number % 10 == 3 else f"good_{original:02}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(self._folder / name)
        return self.scenes[original]
