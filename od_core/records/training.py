"""Records as a tf.data.Dataset, for training: decoded images with boxes and classes, under the API's names."""

from typing import Any

from od_core import storage
from od_core.errors import UsageError
from od_core.records import examples
from od_core.records.dataset import RecordDataset
from od_core.records.tfrecord import is_gzip
from od_core.tensorflow_import import import_tensorflow

_SHARDS_AT_A_TIME = 16
_SHUFFLED_RECORDS = 2048


def training_dataset(
    records: RecordDataset,
    *,
    epochs: int | None = 1,
    shuffle: int | None = _SHUFFLED_RECORDS,
    seed: int = 0,
    decode: bool = True,
) -> Any:
    """The records of whole shards, read in parallel.

    Every epoch has every record once, in another order; the same seed gives the same order. Batching is left to the
    caller: images differ in size and in their number of objects.

    Args:
        records: a dataset or one split of it; every shard of it is read as a whole.
        epochs: how often; None without end.
        shuffle: records that are mixed among each other, held in memory encoded; None keeps the order of shards.
        seed: of the shuffle.
        decode: give the pixels; otherwise `image` is the encoded file, for transformations of one's own.

    Returns:
        tf.data.Dataset of dicts, named as the TF Object Detection API's decoder names them (core/standard_fields.py):

        image: uint8 (H, W, 3), RGB, or a scalar string.
        source_id, filename: scalar strings.
        original_image_spatial_shape: int32 (2,), height and width.
        groundtruth_boxes: float32 (N, 4), rows [ymin, xmin, ymax, xmax] in 0..1.
        groundtruth_classes: int64 (N,), ids of the label map.
        groundtruth_area: float32 (N,), square pixels; that of the box where the record does not say.
        groundtruth_is_crowd, groundtruth_difficult, groundtruth_group_of: bool (N,).
        num_groundtruth_boxes: int32 scalar, N.

    Raises:
        UsageError: no records, or a number below 1.
    """
    for name, number in (("epochs", epochs), ("shuffle", shuffle)):
        if number is not None and number < 1:
            raise UsageError(f"{name} must be at least 1, or None, got {number}")
    shards = list(records.shards)
    if not shards:
        raise UsageError(f"{records.folder}: no records to train on")
    tf = import_tensorflow()
    compression = "GZIP" if _is_compressed(shards[0]) else ""
    data = tf.data.Dataset.from_tensor_slices(shards)
    if shuffle is not None:
        data = data.shuffle(len(shards), seed=seed)
    data = data.interleave(
        lambda path: tf.data.TFRecordDataset(path, compression),
        cycle_length=_SHARDS_AT_A_TIME if shuffle is not None else 1,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    if shuffle is not None:
        data = data.shuffle(shuffle, seed=seed)
    data = data.repeat(epochs)
    data = data.map(lambda one: _parsed(tf, one, decode), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return data.prefetch(tf.data.AUTOTUNE)


def _is_compressed(path: str) -> bool:
    with storage.open_input(path) as file:
        return is_gzip(file)


def _parsed(tf: Any, serialized: Any, decode: bool) -> dict[str, Any]:
    """One record as tensors, in the graph of the tf.data pipeline."""
    texts = (examples.ENCODED, examples.SOURCE_ID, examples.FILENAME)
    sizes = (examples.HEIGHT, examples.WIDTH)
    flags = (examples.OBJECT_IS_CROWD, examples.OBJECT_DIFFICULT, examples.OBJECT_GROUP_OF)
    lists = {
        **dict.fromkeys((*examples.OBJECT_BOX, examples.OBJECT_AREA), tf.float32),
        **dict.fromkeys((examples.OBJECT_CLASS_LABEL, *flags), tf.int64),
    }
    found = tf.io.parse_single_example(
        serialized,
        {
            **{key: tf.io.FixedLenFeature([], tf.string, "") for key in texts},
            **{key: tf.io.FixedLenFeature([], tf.int64) for key in sizes},
            **{key: tf.io.FixedLenSequenceFeature([], kind, allow_missing=True) for key, kind in lists.items()},
        },
    )
    boxes = tf.stack([found[key] for key in examples.OBJECT_BOX], axis=1)
    count = tf.shape(boxes)[0]
    size = tf.stack([found[key] for key in sizes])
    sides = (boxes[:, 2:] - boxes[:, :2]) * tf.cast(size, tf.float32)
    areas = _or_else(tf, found[examples.OBJECT_AREA], tf.reduce_prod(sides, axis=1))
    is_crowd, difficult, group_of = (_or_else(tf, found[key], tf.zeros([count], tf.int64)) for key in flags)
    image = found[examples.ENCODED]
    if decode:
        image = tf.io.decode_image(image, channels=3, expand_animations=False)
        image.set_shape([None, None, 3])
    return {
        "image": image,
        "source_id": found[examples.SOURCE_ID],
        "filename": found[examples.FILENAME],
        "original_image_spatial_shape": tf.cast(size, tf.int32),
        "groundtruth_boxes": boxes,
        "groundtruth_classes": found[examples.OBJECT_CLASS_LABEL],
        "groundtruth_area": areas,
        "groundtruth_is_crowd": is_crowd > 0,
        "groundtruth_difficult": difficult > 0,
        "groundtruth_group_of": group_of > 0,
        "num_groundtruth_boxes": count,
    }


def _or_else(tf: Any, values: Any, defaults: Any) -> Any:
    """The values of a feature, or as many defaults where the record does not have it."""
    return tf.cond(tf.shape(values)[0] == tf.shape(defaults)[0], lambda: values, lambda: defaults)
