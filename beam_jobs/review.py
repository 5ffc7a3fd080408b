"""Write pages to look at detections with: pictures, videos, counts, mistakes. They open from disk, in any browser.

examples (they work when pasted, after: boxbeam demo --output demo_out):
  boxbeam review --detections demo_out/detections --output pages
  boxbeam review --detections demo_out/detections --output pages --evaluation demo_out/metrics \\
      --ground_truth demo_out/records demo_out/scene/video_ground_truth.parquet

what you get:
  pages/index.html    open this: no server, no network
    Overview            how many pictures, frames and boxes there are, scores of every class, what failed and why; with
                        ground truth precision and recall at the score you choose, with --evaluation its numbers
    Gallery             every picture and video; filter by class, score, verdict and name; worst mistakes first
    Pictures, videos    large, with boxes that can be switched on and off; a timeline for every class of a video, where
                        a click jumps to the moment; keys: arrows, Esc, d detections, t ground truth, l labels,
                        v verdicts, z zoom; in videos space, n and b the next and last detection, m the next mistake

  Pictures and videos are shown where they lie: keep the pages in their place, or make them with --self_contained, which
  copies them (smaller) into the folder, to be given away. What browsers do not show (TIFF, records, videos other than
  H.264, VP8, VP9, AV1 in MP4 or WebM) is copied in any case.

  Repeat the command at any time: the folder is replaced as a whole, and never half there.

exit status:
  0 done; 1 stopped by an error; 2 wrong usage; 130 interrupted
"""

import argparse
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from beam_jobs import options

if TYPE_CHECKING:
    from od_core.detected_frames import DetectedFrame
    from pipelines.review.pages import ReviewAsk, Reviewed


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pages; returns the exit status."""
    made = _parser()
    args, beam_options = options.parse(made, argv)
    from od_core.errors import BoxbeamError, UsageError

    args.source_root = options.source_root(made, args.source_root)
    try:
        ask = _ask(args, beam_options)
        reviewed = _review(ask)
    except UsageError as error:
        return _ended(f"error: {error}", 2)
    except BoxbeamError as error:
        return _ended(f"stopped: {error}", 1)
    except KeyboardInterrupt:
        return _ended("interrupted; nothing is changed, repeat the command", 128 + signal.SIGINT)
    print(_text(ask, reviewed), flush=True)
    return 0


def _ended(message: str, status: int) -> int:
    print(f"boxbeam review: {message}", file=sys.stderr, flush=True)
    return status


def _parser() -> argparse.ArgumentParser:
    made = options.parser(__doc__ or "", "review")
    group = made.add_argument_group("what to do")
    group.add_argument(
        "--detections", type=options.path, required=True, metavar="DIR", help="a detections dataset, as infer writes it"
    )
    group.add_argument("--output", type=options.path, required=True, metavar="DIR", help="folder of the pages")
    group.add_argument(
        "--ground_truth",
        type=options.path,
        nargs="+",
        action="extend",
        default=[],
        metavar="PATH",
        help="what people annotated: whatever boxbeam evaluate takes; several count as one",
    )
    group.add_argument(
        "--evaluation", type=options.path, metavar="DIR", help="what boxbeam evaluate wrote: its numbers are shown"
    )
    options.add_source_root(group)
    group.add_argument(
        "--min_score",
        type=options.ratio,
        default=0.05,
        metavar="S",
        help="leave out detections below (default: 0.05); the pages have a threshold of their own above it",
    )
    group.add_argument(
        "--self_contained", action="store_true", help="copy pictures and videos into the folder, smaller"
    )
    group.add_argument(
        "--workers", type=options.positive_int, metavar="N", help="cores to use (default: all of this machine)"
    )
    return made


def _ask(args: argparse.Namespace, beam_options: Sequence[str]) -> "ReviewAsk":
    from od_core import storage
    from pipelines.remote.file_systems import FileSystems
    from pipelines.review.pages import ReviewAsk

    ask = ReviewAsk(
        options.absolute(args.detections),
        options.absolute(args.output),
        tuple(map(options.absolute, args.ground_truth)),
        args.evaluation and options.absolute(args.evaluation),
        args.source_root,
        args.min_score,
        args.self_contained,
        args.workers or options.cores(),
    )
    storage.register_remote(FileSystems(beam_options))
    return ask


def _review(ask: "ReviewAsk") -> "Reviewed":
    from tqdm import tqdm

    from pipelines.review.pages import review

    def bar(frames: Iterable["DetectedFrame"], total: int) -> Iterator["DetectedFrame"]:
        hidden = not sys.stderr.isatty()
        return iter(tqdm(frames, "review", total, unit=" frames", unit_scale=True, leave=False, disable=hidden))

    return review(ask, bar)


def _text(ask: "ReviewAsk", reviewed: "Reviewed") -> str:
    """The closing lines."""
    from beam_jobs.summary import counted

    least = f" with a score of at least {ask.min_score:g}" if ask.min_score > 0 else ""
    shown = f"{counted(reviewed.items, 'items')}, {counted(reviewed.detections, 'detections')}{least}"
    lines = [f"review: {shown}: open {ask.output.rstrip('/')}/index.html"]
    if reviewed.failed:
        lines.append(f"  {counted(reviewed.failed, 'failures')} among the detections' rows, listed in the overview")
    if reviewed.not_shown:
        lines.append(
            f"  {counted(reviewed.not_shown, 'originals')} cannot be shown, as the pages say; moved? give --source_root"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
