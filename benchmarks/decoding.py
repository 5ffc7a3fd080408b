"""What decoding costs on one core, without a model: CPU milliseconds per frame, bare and as boxbeam does it.

    python -m benchmarks.decoding video CLIP.mp4 --frames_to F.npy
    python -m benchmarks.decoding images FOLDER --frames_to F.npy

Bare is the least it can cost: for a video PyAV with one thread, and ffmpeg's conversion to RGB; for JPEGs
tf.io.decode_jpeg, one image at a time, of bytes that are in memory. The first frames are kept for the loops that need
them decoded.
"""

import argparse
import collections
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import av
import numpy as np
from av.codec.context import ThreadType
from av.video.reformatter import Interpolation

from benchmarks.child import answer, import_tensorflow
from od_core.images import ImageArray, decode_image
from od_core.video.frames import VideoFrame, read_video

_KEPT_FRAMES = 48
_MEASURED = 200
_ROUNDS = 2


def main() -> int:
    """Measure one video or one folder of JPEGs; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("video", "images"))
    parser.add_argument("path")
    parser.add_argument("--frames_to", required=True, metavar="F.npy")
    args = parser.parse_args()
    bare, product = _video(args.path) if args.kind == "video" else _images(pathlib.Path(args.path))
    kept = _most_common_size(_first(product(), _KEPT_FRAMES))
    np.save(args.frames_to, np.stack(kept))
    height, width, _ = kept[0].shape
    cpu = {"bare": [_cpu_ms(bare) for _ in range(_ROUNDS)], "product": [_cpu_ms(product) for _ in range(_ROUNDS)]}
    frames = len(list(pathlib.Path(args.path).iterdir())) if args.kind == "images" else sum(1 for _ in product())
    answer({"frames": frames, "width": width, "height": height, "cpu_ms": {name: min(ms) for name, ms in cpu.items()}})
    return 0


Decode = Callable[[], Iterator[ImageArray]]


def _video(path: str) -> tuple[Decode, Decode]:
    def bare() -> Iterator[ImageArray]:
        with av.open(path) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_type = ThreadType.NONE
            stream.codec_context.thread_count = 1
            for frame in container.decode(stream):
                rgb = frame.reformat(format="rgb24", interpolation=Interpolation.BICUBIC, threads=1)
                yield np.asarray(rgb.to_ndarray(), np.uint8)

    def product() -> Iterator[ImageArray]:
        return (frame.image for frame in read_video(path) if isinstance(frame, VideoFrame))

    return bare, product


def _images(folder: pathlib.Path) -> tuple[Decode, Decode]:
    tf = import_tensorflow()
    encoded = [path.read_bytes() for path in sorted(folder.iterdir())[:_MEASURED]]
    with tf.Graph().as_default() as graph:
        source = tf.compat.v1.placeholder(tf.string, [])
        pixels = tf.io.decode_jpeg(source, channels=3)
    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=1, inter_op_parallelism_threads=1, use_per_session_threads=True
    )
    session = tf.compat.v1.Session(graph=graph, config=config)

    def decode_jpeg(one: bytes) -> Any:
        return session.run(pixels, {source: one})

    return (
        lambda: (decode_jpeg(one) for one in encoded),
        lambda: (decode_image(one, decode_jpeg=decode_jpeg) for one in encoded),
    )


def _first(images: Iterator[ImageArray], count: int) -> list[ImageArray]:
    return [image for image, _ in zip(images, range(count), strict=False)]


def _most_common_size(images: Iterable[ImageArray]) -> list[ImageArray]:
    by_shape: collections.defaultdict[tuple[int, ...], list[ImageArray]] = collections.defaultdict(list)
    for image in images:
        by_shape[image.shape].append(image)
    return max(by_shape.values(), key=len)


def _cpu_ms(decode: Decode) -> float:
    """CPU milliseconds of this process per frame, over everything that `decode` yields."""
    started = time.process_time()
    count = sum(1 for _ in decode())
    return 1000 * (time.process_time() - started) / count


if __name__ == "__main__":
    sys.exit(main())
