"""The detector that comes with boxbeam is small, frozen, and finds what is in harbours it has not seen."""

import io
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from PIL import Image

from od_core.boxes import pairwise_iou
from od_core.detections import Detections
from od_core.ground_truth import GroundTruth
from od_core.harbour import sample
from od_core.harbour.scene import Harbour
from od_core.images import decode_image, encode_jpeg
from od_core.model.detector import Detector, open_detector
from od_core.video.frames import VideoDamage, read_video

SHOWN = 0.4
VARIABLES = {"VarHandleOp", "VariableV2", "Variable", "ReadVariableOp", "RestoreV2"}


@pytest.fixture(scope="module")
def detector() -> Iterator[Detector]:
    opened = open_detector(sample.MODEL)
    yield opened
    opened.close()


def hits(truth: GroundTruth, found: Detections) -> tuple[int, int, int]:
    """How many objects there are, are found (IoU 0.5, right class, each once), and how many boxes hit nothing."""
    found = found.best(min_score=SHOWN)
    same = truth.classes[:, None] == found.classes[None]
    overlaps = np.where(same, pairwise_iou(truth.boxes, found.boxes), 0.0)
    hit = overlaps >= 0.5
    wanted = ~truth.difficult
    return int(wanted.sum()), int(hit[wanted].any(axis=1).sum()), int((~hit.any(axis=0)).sum())


def rates(pairs: Iterable[tuple[GroundTruth, Detections]]) -> tuple[float, float]:
    """Recall, and the share of boxes that hit something."""
    objects, found, wrong = np.sum([hits(truth, detections) for truth, detections in pairs], axis=0)
    return found / objects, found / (found + wrong)


def test_it_is_small_and_has_no_variables():
    import tensorflow as tf

    assert sample.MODEL.stat().st_size <= 3_000_000
    graph = tf.compat.v1.GraphDef.FromString(sample.MODEL.read_bytes())
    operations = {node.op for node in graph.node}
    assert operations.isdisjoint(VARIABLES)
    assert not any("grad" in node.name.lower() for node in graph.node)


def test_it_takes_any_batch_of_uint8_images(detector):
    assert detector.signature.input_kind == "image_tensor"
    assert detector.signature.batch_limit is None


def test_it_finds_nearly_everything_in_unseen_pictures(detector):
    def pairs() -> Iterator[tuple[GroundTruth, Detections]]:
        for number in range(12):
            view = Harbour(700 + number).view(sample.image_time_s(number))
            image = decode_image(encode_jpeg(view.image, 92))
            (found,) = detector.detect(image[None])
            yield sample.ground_truth(view.objects, 640, 384), found

    recall, precision = rates(pairs())
    assert recall >= 0.85
    assert precision >= 0.85


def test_it_finds_nearly_everything_in_a_video(detector, tmp_path):
    sample.write_video(tmp_path / "clip.mp4", 40, seed=33)
    rows = sample.video_ground_truth("clip.mp4", 40, seed=33)

    def pairs() -> Iterator[tuple[GroundTruth, Detections]]:
        for frame, row in zip(read_video(tmp_path / "clip.mp4"), rows, strict=True):
            assert not isinstance(frame, VideoDamage)
            assert row.objects is not None
            if frame.index % 8 == 0:
                (found,) = detector.detect(frame.image[None])
                yield row.objects, found

    recall, precision = rates(pairs())
    assert recall >= 0.8
    assert precision >= 0.8


def test_it_finds_the_same_in_pictures_of_another_size(detector):
    def pairs() -> Iterator[tuple[GroundTruth, Detections]]:
        for seed in (710, 711, 712):
            view = Harbour(seed, width=960, height=576).view(0.0)
            (found,) = detector.detect(view.image[None])
            yield sample.ground_truth(view.objects, 960, 576), found

    recall, precision = rates(pairs())
    assert recall >= 0.8
    assert precision >= 0.8


def test_a_picture_alone_and_in_a_batch_gives_the_same(detector):
    images = np.stack([Harbour(seed).view(3.0).image for seed in (720, 721, 722)])
    together = detector.detect(images)
    alone = [detector.detect(image[None])[0] for image in images]
    assert together == alone
    assert all(len(found) > 5 for found in alone)


def test_scores_and_boxes_are_in_range_and_best_first(detector):
    (found,) = detector.detect(Harbour(730).view(0.0).image[None])
    assert (np.diff(found.scores) <= 0).all()
    assert 0 < found.scores.min() <= found.scores.max() <= 1
    assert 0 <= found.boxes.min() <= found.boxes.max() <= 1
    assert set(found.classes.tolist()) <= {1, 2, 3, 4, 5}


@pytest.mark.parametrize("level", [0, 128, 255])
def test_nothing_is_found_where_nothing_is(detector, level):
    buffer = io.BytesIO()
    Image.new("RGB", (640, 384), (level, level, level)).save(buffer, "PNG")
    (found,) = detector.detect(decode_image(buffer.getvalue())[None])
    assert len(found.best(min_score=0.5)) == 0
