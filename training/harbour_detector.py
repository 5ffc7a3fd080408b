"""Train the detector of boxbeam's harbour sample: python -m training.harbour_detector --output DIR

Renders scenes, trains on them, writes DIR/frozen_inference_graph.pb and DIR/label_map.pbtxt, and prints how well the
exported graph does on harbours it has not seen. With the default settings it takes about half an hour on two cores.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from od_core.detections import Detections
from od_core.ground_truth import GroundTruth
from od_core.harbour.sample import MODEL, ground_truth, write_label_map
from od_core.harbour.ships import LABELS
from od_core.images import decode_image, encode_jpeg
from od_core.model.detector import open_detector
from od_core.tensorflow_import import import_tensorflow
from training.evaluation import evaluate
from training.loop import train
from training.network import INPUT_HEIGHT, INPUT_WIDTH, build_graph
from training.scenes import FIRST_TRAINING_SEED, Examples, render_examples, unseen_views

FIRST_EVALUATION_SEED = 5_000


def main(argv: list[str] | None = None) -> int:
    """Run the script; returns its exit status."""
    options = _parser().parse_args(argv)
    options.output.mkdir(parents=True, exist_ok=True)
    tf = import_tensorflow()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    cv2.setNumThreads(1)

    started = time.monotonic()
    examples = _examples(options.harbours, options.views, options.scenes)
    print(f"{len(examples)} scenes after {time.monotonic() - started:.0f} s", flush=True)
    losses: list[tuple[float, float]] = []

    def report(step: int, scores_loss: float, edges_loss: float) -> None:
        losses.append((scores_loss, edges_loss))
        if step % 100 == 0 or step == options.steps:
            scores_mean, edges_mean = np.mean(losses, axis=0)
            seconds = time.monotonic() - started
            print(f"step {step}: scores {scores_mean:.3f}, edges {edges_mean:.3f}, {seconds:.0f} s", flush=True)
            losses.clear()

    weights = train(
        examples,
        len(LABELS),
        steps=options.steps,
        batch=options.batch,
        learning_rate=options.learning_rate,
        seed=options.seed,
        report=report,
    )
    graph = options.output / MODEL.name
    graph.write_bytes(build_graph(weights, len(LABELS)).SerializeToString(deterministic=True))
    write_label_map(options.output / "label_map.pbtxt")
    print(f"{sum(weight.size for weight in weights.values()):,} weights, {graph.stat().st_size:,} bytes: {graph}")
    _print_quality(graph, options.evaluate)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.harbour_detector", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder for the trained model")
    parser.add_argument("--steps", type=int, default=3000, help="training steps (%(default)s)")
    parser.add_argument("--batch", type=int, default=16, help="scenes per step (%(default)s)")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="highest learning rate (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of first weights and order of scenes (%(default)s)")
    parser.add_argument("--harbours", type=int, default=540, help="harbours to train on (%(default)s)")
    parser.add_argument("--views", type=int, default=5, help="scenes of each harbour (%(default)s)")
    parser.add_argument("--scenes", type=Path, help="file (.npz) to keep rendered scenes in, and to take them from")
    parser.add_argument("--evaluate", type=int, default=200, help="unseen harbours to evaluate on (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="for TensorFlow while training (%(default)s)")
    return parser


def _examples(harbours: int, views: int, kept: Path | None) -> Examples:
    """Rendered scenes, from the file that keeps them if it holds as many as asked for."""
    if kept and kept.exists():
        with np.load(kept) as arrays:
            examples = Examples(**arrays)
        if len(examples) == harbours * views:
            return examples
    seeds = range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + harbours)
    examples = render_examples(seeds, views, INPUT_HEIGHT, INPUT_WIDTH)
    if kept:
        np.savez(kept, **examples._asdict())
    return examples


def _print_quality(graph: Path, harbours: int) -> None:
    quality = evaluate(_found(graph, harbours), LABELS)
    for class_id, one in quality.items():
        print(
            f"{LABELS[class_id]:>12}: AP@0.5 {one.average_precision:.3f}, at score 0.5: precision {one.precision:.3f}, "
            f"recall {one.recall:.3f} of {one.objects}"
        )
    print(f"mAP@0.5 on {harbours} unseen harbours: {np.mean([one.average_precision for one in quality.values()]):.3f}")


def _found(graph: Path, harbours: int) -> Iterator[tuple[GroundTruth, Detections]]:
    """What is in unseen scenes, and what the exported graph finds in their JPEGs."""
    detector = open_detector(graph)
    try:
        for view in unseen_views(range(FIRST_EVALUATION_SEED, FIRST_EVALUATION_SEED + harbours)):
            image = decode_image(encode_jpeg(view.image, 92))
            height, width, _ = image.shape
            (found,) = detector.detect(image[None])
            yield ground_truth(view.objects, width, height), found
    finally:
        detector.close()


if __name__ == "__main__":
    sys.exit(main())
