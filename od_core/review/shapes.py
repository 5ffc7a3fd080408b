"""Masks and keypoints of detections as pages have them: outlines of few points, in units of the image.

A mask is a list of rings [x1, y1, x2, y2, ...], holes among them; keypoints are one list [x1, y1, x2, y2, ...] of those
that are known. However many and fine the masks of a frame are, its outlines have at most `MOST_POINTS` points, or eight
for each mask of the best `MOST_MASKS` detections: the others are boxes alone.
"""

import cv2
import hotcoco.mask
import numpy as np
import numpy.typing as npt

from od_core.detections import Detections
from od_core.review.chunks import rounded

MOST_POINTS = 1000
MOST_MASKS = 100

_POINTS_OF_A_MASK = (8, 64)
_DRAWN_SIDE = 256  # masks are made smaller to this, so that a ring of an 8K mask costs no more than others
_COARSER = 1.5

Ring = list[float]


def shapes_of(found: Detections, height: int, width: int) -> list[tuple[list[Ring], Ring]]:
    """The outlines and the keypoints of every detection, either empty where there are none.

    Args:
        found: detections.
        height, width: of the image, in pixels.
    """
    outlines: list[list[Ring]] = [[] for _ in range(len(found))]
    if found.masks is not None:
        least, most = _POINTS_OF_A_MASK
        masks = found.masks[:MOST_MASKS]
        points = max(least, min(most, MOST_POINTS // max(1, len(masks))))
        outlines[: len(masks)] = [_outline(mask, height, width, points) if mask else [] for mask in masks]
    keypoints: list[Ring] = [[] for _ in range(len(found))]
    if found.keypoints is not None:
        for index, points_of_one in enumerate(found.keypoints[:, :, :2]):
            known = points_of_one[np.isfinite(points_of_one).all(axis=1)]
            keypoints[index] = [rounded(x) for x in known[:, ::-1].reshape(-1).tolist()]
    return list(zip(outlines, keypoints, strict=True))


def _outline(mask: bytes, height: int, width: int, points: int) -> list[Ring]:
    """The rings of a mask, as many and as fine as so many points allow; the longest first; none if it is damaged."""
    try:
        inside = np.ascontiguousarray(hotcoco.mask.decode({"size": [height, width], "counts": mask}))
    except ValueError:
        return []
    scale = min(1.0, _DRAWN_SIDE / max(height, width))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        inside = (cv2.resize(inside * np.uint8(255), size, interpolation=cv2.INTER_AREA) > 127).astype(np.uint8)
    # In pixels of half the size an outline runs near the edges of the mask's pixels, not through their middles.
    contours, _ = cv2.findContours(_doubled(inside), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rings = sorted(contours, key=lambda ring: -len(ring))[: max(1, points // 4)]
    tolerance = 1.0
    while sum(map(len, rings)) > points:
        rings = [ring for ring in (cv2.approxPolyDP(ring, tolerance, True) for ring in rings) if len(ring) > 2] or [
            cv2.convexHull(rings[0])[:points]
        ]
        tolerance *= _COARSER
    sides = 2 * np.array(inside.shape[::-1])
    return [[rounded(x) for x in ((ring.reshape(-1, 2) + 0.5) / sides).reshape(-1).tolist()] for ring in rings]


def _doubled(inside: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Every pixel as two by two."""
    return inside.repeat(2, axis=0).repeat(2, axis=1)
