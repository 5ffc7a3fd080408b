"""The loop that people write without boxbeam: `Session.run` on frames that are already decoded, and nothing else.

    python -m benchmarks.bare_session --model DIR --frames F.npy --style one_run --cores 2 --seconds 4

Two styles: `one_run` gives all cores to one run at a time (intra_op = cores); `thread_per_core` runs one thread per
core on one Session (intra_op = 1, inter_op = cores). Batches are slices of one array: no copy, no decoding, no
Detections, no file. What it prints: frames per second and CPU milliseconds per frame for each batch size, the seconds
the first run took, which no rate includes, and the scores of the first frame. `--setting` turns something on that
TensorFlow offers to make graphs faster: bfloat16 (by oneDNN's automatic mixed precision) or xla (automatic clustering).
"""

import argparse
import itertools
import pathlib
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.child import answer, import_tensorflow, positive, whole
from benchmarks.machine import OtherWork
from benchmarks.results import Sample
from od_core.model.detector import INPUT_KINDS, OUTPUTS, find_model

STYLES = ("one_run", "thread_per_core")
SETTINGS = ("none", "bfloat16", "xla")
_WARM_UP_RUNS = 3

Frames = npt.NDArray[Any]


def main() -> int:
    """Measure one style at every batch size; see the module's docstring."""
    args = _arguments()
    session, run, batch_limit, dtype = _open(args.model, args.style, args.cores, args.setting)
    frames = np.load(args.frames).astype(dtype, copy=False)
    threads = args.cores if args.style == "thread_per_core" else 1
    started = time.monotonic()
    scores = run(frames[:1])[OUTPUTS.index("detection_scores")][0].tolist()
    first_run = time.monotonic() - started
    sizes = [size for size in args.batch_sizes if batch_limit is None or size == batch_limit] or [batch_limit]
    batches = {size: _rate(run, frames, size, threads, args.seconds)._asdict() for size in sizes}
    session.close()
    answer({"batches": batches, "first_run_seconds": first_run, "scores": scores})
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--frames", required=True, help=".npy: uint8 (N, H, W, 3)")
    parser.add_argument("--style", choices=STYLES, required=True)
    parser.add_argument("--cores", type=whole, required=True)
    parser.add_argument("--setting", choices=SETTINGS, default="none")
    parser.add_argument("--seconds", type=positive, required=True, help="for each batch size")
    parser.add_argument("--batch_sizes", type=whole, nargs="+", default=[1, 4, 8])
    return parser.parse_args()


def _open(model: str, style: str, cores: int, setting: str) -> tuple[Any, Callable[[Frames], Any], int | None, str]:
    """The Session, what runs it on frames (B, H, W, 3), the batch size it is fixed to, and the dtype it takes."""
    tf = import_tensorflow()
    one_run = style == "one_run"
    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=cores if one_run else 1,
        inter_op_parallelism_threads=1 if one_run else cores,
        use_per_session_threads=True,
    )
    if setting == "bfloat16":
        config.graph_options.rewrite_options.auto_mixed_precision_onednn_bfloat16 = 1  # ON
    elif setting == "xla":
        config.graph_options.optimizer_options.global_jit_level = tf.compat.v1.OptimizerOptions.ON_1
    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph, config=config)
    with graph.as_default():
        source, outputs = _load(tf, session, model)
    kind = source.dtype.name
    if kind not in ("uint8", "float32"):
        sys.exit(f"{model} takes {kind}: give a model that takes pixels, the loops feed it decoded frames")
    limit = None if source.shape.rank is None else source.shape.as_list()[0]
    fetches = [outputs[name] for name in OUTPUTS]
    return session, lambda images: session.run(fetches, {source: images}), limit, kind


def _load(tf: Any, session: Any, model: str) -> tuple[Any, dict[str, Any]]:
    """The model's input and outputs by name, in the current graph."""
    files = find_model(model)
    graph = session.graph
    if files.format == "frozen_graph":
        definition = tf.compat.v1.GraphDef()
        definition.ParseFromString(pathlib.Path(files.path).read_bytes())
        tf.graph_util.import_graph_def(definition, name="")
        names = {node.name for node in definition.node}
        source = graph.get_tensor_by_name(next(f"{kind}:0" for kind in INPUT_KINDS if kind in names))
        return source, {name: graph.get_tensor_by_name(f"{name}:0") for name in OUTPUTS}
    meta = tf.compat.v1.saved_model.load(session, ["serve"], files.path)
    signature = meta.signature_def["serving_default"]
    (source_info,) = signature.inputs.values()
    source = graph.get_tensor_by_name(source_info.name)
    return source, {name: graph.get_tensor_by_name(signature.outputs[name].name) for name in OUTPUTS}


def _rate(run: Callable[[Frames], object], frames: Frames, size: int, threads: int, seconds: float) -> Sample:
    """Frames through `run` in `threads` threads for about `seconds`."""
    batches = [frames[start : start + size] for start in range(0, len(frames) - size + 1, size)]
    if not batches:
        sys.exit(f"{len(frames)} frames are too few for a batch of {size}")
    for batch in itertools.islice(itertools.cycle(batches), _WARM_UP_RUNS):
        run(batch)
    done = [0] * threads
    others = OtherWork()
    cpu = time.process_time()
    started = time.monotonic()

    def loop(thread: int) -> None:
        for batch in itertools.islice(itertools.cycle(batches), thread, None, threads):
            run(batch)
            done[thread] += len(batch)
            if time.monotonic() - started >= seconds:
                return

    workers = [threading.Thread(target=loop, args=(thread,)) for thread in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    elapsed, cpu = time.monotonic() - started, time.process_time() - cpu
    return Sample(sum(done) / elapsed, 1000 * cpu / sum(done), others.cores(cpu))


if __name__ == "__main__":
    sys.exit(main())
