"""Makes what is measured, in a process of its own, so that the one that measures imports nothing heavy.

python -m benchmarks.make_material sample FOLDER
python -m benchmarks.make_material long_video CLIP.mp4 LONG.mkv 10
"""

import argparse
import pathlib
import sys

import av

from benchmarks.child import answer, whole

_SAMPLE_IMAGES, _SAMPLE_FRAMES = 200, 250


def main() -> int:
    """Make one thing; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    things = parser.add_subparsers(dest="thing", required=True)
    things.add_parser("sample").add_argument("folder", type=pathlib.Path)
    long_video = things.add_parser("long_video")
    long_video.add_argument("clip")
    long_video.add_argument("output")
    long_video.add_argument("times", type=whole)
    args = parser.parse_args()
    answer(_sample(args.folder) if args.thing == "sample" else _long_video(args.clip, args.output, args.times))
    return 0


def _sample(folder: pathlib.Path) -> dict[str, object]:
    """boxbeam's own sample: JPEGImages/, Annotations/, video.mp4."""
    from od_core.harbour import sample

    sample.write_images(folder, _SAMPLE_IMAGES)
    sample.write_video(folder / "video.mp4", _SAMPLE_FRAMES)
    return {}


def _long_video(clip: str, output: str, times: int) -> dict[str, object]:
    """A video that shows `clip` so many times; its packets are copied where the container takes them."""
    try:
        _copy_packets(clip, output, times)
    except (av.FFmpegError, ValueError) as error:
        _encode_again(clip, output, times)
        return {"how": f"encoded again, because its packets cannot be copied ({error})"}
    return {"how": "its packets copied"}


def _copy_packets(clip: str, output: str, times: int) -> None:
    with av.open(output, "w", format="matroska") as made:
        target = None
        offset = 0
        for _ in range(times):
            with av.open(clip) as source:
                stream = source.streams.video[0]
                target = target or made.add_stream_from_template(stream)
                end = 0
                for packet in source.demux(stream):
                    if packet.dts is None or packet.pts is None:
                        continue  # the empty packet at the end; without times there is no copying
                    end = max(end, packet.pts + (packet.duration or 1))
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                    packet.stream = target
                    made.mux(packet)
                offset += end
        if not offset:
            raise ValueError("they have no times")


def _encode_again(clip: str, output: str, times: int) -> None:
    with av.open(output, "w", format="matroska") as made:
        target = None
        number = 0
        for _ in range(times):
            with av.open(clip) as source:
                stream = source.streams.video[0]
                if target is None:
                    target = made.add_stream("libx264", rate=stream.average_rate or 25, options={"preset": "veryfast"})
                    target.width, target.height, target.pix_fmt = stream.width, stream.height, "yuv420p"
                for frame in source.decode(stream):
                    frame.pts, frame.time_base = number, 1 / target.rate
                    made.mux(target.encode(frame))
                    number += 1
        if target is not None:
            made.mux(target.encode(None))


if __name__ == "__main__":
    sys.exit(main())
