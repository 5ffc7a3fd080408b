"""What the network should have said about a scene, and how far off it was."""

from typing import Any

from training.network import GRID_HEIGHT, GRID_WIDTH, cell_boxes

_SPREAD = 0.54 / 6  # standard deviation of an object's bell of middles, as a share of its size
_NARROWEST = 0.5  # cells
_EDGES_WEIGHT = 3.0


def detection_loss(tf: Any, logits: Any, edges: Any, boxes: Any, classes: Any, difficult: Any) -> tuple[Any, Any]:
    """Loss of the scores and of the edges, each a mean per object.

    Args:
        tf: TensorFlow.
        logits, edges: as from `detector_heads`.
        boxes: float32 (B, N, 4); classes: int32 (B, N), 1-based, 0 for none; difficult: bool (B, N), of which it does
            not matter whether they are found.
    """
    real = (classes > 0) & ~difficult
    bells = _bells(tf, boxes) * tf.cast(real, tf.float32)[:, :, None, None]
    objects = tf.maximum(tf.reduce_sum(tf.cast(real, tf.float32)), 1.0)
    count = logits.shape[-1]
    wanted = tf.stack(
        [
            tf.reduce_max(bells * tf.cast(classes == one + 1, tf.float32)[:, :, None, None], axis=1)
            for one in range(count)
        ],
        axis=-1,
    )
    counted = 1.0 - _covered(tf, boxes, difficult & (classes > 0))[..., None] * tf.cast(wanted == 0, tf.float32)
    scores_loss = tf.reduce_sum(_focal(tf, logits, wanted) * counted) / objects

    owner = tf.argmax(bells, axis=1)  # (B, H, W): whose middle is nearest, in units of its size
    share = bells / tf.maximum(tf.reduce_sum(bells, axis=[2, 3], keepdims=True), 1e-6)
    weight = tf.reduce_max(tf.where(bells == tf.reduce_max(bells, axis=1, keepdims=True), share, 0.0), axis=1)
    own = tf.gather(boxes, tf.reshape(owner, [-1, GRID_HEIGHT * GRID_WIDTH]), batch_dims=1)
    target = tf.reshape(own, [-1, GRID_HEIGHT, GRID_WIDTH, 4])
    edges_loss = tf.reduce_sum((1.0 - _generalized_iou(tf, cell_boxes(tf, edges), target)) * weight) / objects
    return scores_loss, _EDGES_WEIGHT * edges_loss


def _bells(tf: Any, boxes: Any) -> Any:
    """How near each cell is to each object's middle: float32 (B, N, H, W), 1 at the cell that holds it."""

    def along(first: Any, last: Any, cells: int) -> Any:
        middle = tf.minimum(tf.floor((first + last) / 2 * cells), cells - 1.0)
        spread = tf.maximum((last - first) * (cells * _SPREAD), _NARROWEST)
        away = (tf.range(cells, dtype=tf.float32) - middle[..., None]) / spread[..., None]
        return tf.exp(-0.5 * away * away)

    ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=-1)
    bells = along(ymin, ymax, GRID_HEIGHT)[:, :, :, None] * along(xmin, xmax, GRID_WIDTH)[:, :, None, :]
    return tf.where(bells > 0.02, bells, 0.0)


def _covered(tf: Any, boxes: Any, chosen: Any) -> Any:
    """Which cells lie in one of the chosen boxes: float32 (B, H, W)."""

    def along(first: Any, last: Any, cells: int) -> Any:
        place = (tf.range(cells, dtype=tf.float32) + 0.5) / cells
        return tf.cast((place >= first[..., None]) & (place <= last[..., None]), tf.float32)

    ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=-1)
    rows = along(ymin, ymax, GRID_HEIGHT) * tf.cast(chosen, tf.float32)[..., None]
    return tf.minimum(tf.einsum("bnh,bnw->bhw", rows, along(xmin, xmax, GRID_WIDTH)), 1.0)


def _focal(tf: Any, logits: Any, wanted: Any) -> Any:
    """The focal loss of "Objects as Points": easy cells count little, those near a middle less than those far away."""
    score = tf.sigmoid(logits)
    found = tf.nn.softplus(-logits) * (1 - score) ** 2
    absent = tf.nn.softplus(logits) * score**2 * (1 - wanted) ** 4
    return tf.where(wanted >= 1.0, found, absent)


def _generalized_iou(tf: Any, first: Any, second: Any) -> Any:
    """H. Rezatofighi et al., "Generalized Intersection over Union" (2019), of boxes (..., 4)."""
    top_left, bottom_right = tf.maximum(first[..., :2], second[..., :2]), tf.minimum(first[..., 2:], second[..., 2:])
    shared = tf.reduce_prod(tf.maximum(bottom_right - top_left, 0.0), axis=-1)
    areas = [tf.reduce_prod(boxes[..., 2:] - boxes[..., :2], axis=-1) for boxes in (first, second)]
    union = tf.maximum(areas[0] + areas[1] - shared, 1e-9)
    outer = tf.maximum(first[..., 2:], second[..., 2:]) - tf.minimum(first[..., :2], second[..., :2])
    hull = tf.maximum(tf.reduce_prod(outer, axis=-1), 1e-9)
    return shared / union - (hull - union) / hull
