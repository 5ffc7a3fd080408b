"""Every kind of exported detector answers alike, and what is no detector is refused with reasons."""

import concurrent.futures
import csv
import hashlib
import io
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from od_core.detections import Detections
from od_core.errors import DetectError, ImageError, ModelError
from od_core.model import tf_session
from od_core.model.detector import INPUT_KINDS, OUTPUTS, Detector, ModelFiles, find_model, open_detector
from tests.blocks_model import build_blocks_graph, find_colours
from tests.od_core.model import model_exports
from tests.od_core.model.model_exports import colours_in, drawn

IMAGES = np.stack(
    [
        drawn((1, 5, 10, 25, 50)),
        drawn(),
        drawn((2, 0, 0, 9, 9), (3, 30, 30, 60, 80), (1, 10, 40, 20, 45)),
        drawn((3, 1, 1, 5, 5), (3, 40, 60, 50, 70)),
        drawn((1, 20, 20, 40, 41), (2, 50, 0, 60, 80)),
    ]
)

EXPORTS = {
    **{f"frozen {kind}": (model_exports.frozen_graph, "m.pb", kind, None) for kind in INPUT_KINDS},
    **{f"tf1 {kind}": (model_exports.tf1_saved_model, "saved_model", kind, None) for kind in INPUT_KINDS},
    **{f"tf2 {kind}": (model_exports.tf2_saved_model, "saved_model", kind, 1) for kind in INPUT_KINDS},
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Iterator[dict[str, Path]]:
    """Exports by name, made when first asked for."""

    class Exports(dict[str, Path]):
        def __missing__(self, name: str) -> Path:
            export, file, kind, _ = EXPORTS[name]
            self[name] = export(tmp_path_factory.mktemp(name.replace(" ", "_")) / file, kind)
            return self[name]

    return Exports()


@pytest.fixture(scope="module")
def detector(exported) -> Iterator[Detector]:
    """A TF1 frozen graph with the usual input."""
    opened = open_detector(exported["frozen image_tensor"])
    yield opened
    opened.close()


def assert_same(found: list[Detections], expected: list[Detections]) -> None:
    assert [len(f) for f in found] == [len(e) for e in expected]
    for f, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(f.boxes, e.boxes, atol=1e-6)
        np.testing.assert_allclose(f.scores, e.scores, rtol=1e-6)
        np.testing.assert_array_equal(f.classes, e.classes)


def jpeg(image: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", **options)
    return file.getvalue()


# Detecting


@pytest.mark.parametrize("name", EXPORTS)
def test_every_export_gives_the_direct_answer(exported, name):
    _, _, kind, batch_limit = EXPORTS[name]
    opened = open_detector(exported[name])
    try:
        assert opened.signature.input_kind == kind
        assert opened.signature.format == ("frozen_graph" if name.startswith("frozen") else "saved_model")
        assert opened.signature.batch_limit == batch_limit
        assert set(opened.signature.output_tensors) == set(OUTPUTS)
        assert_same(opened.detect(IMAGES), [colours_in(image) for image in IMAGES])
    finally:
        opened.close()


@pytest.mark.parametrize("kind", INPUT_KINDS)
def test_a_tensorflow_without_its_private_shortcut_will_do(exported, monkeypatch, kind):
    from tensorflow.python.client.session import BaseSession

    monkeypatch.delattr(BaseSession, "_make_callable_from_options")
    opened = open_detector(exported[f"frozen {kind}"])
    assert_same(opened.detect(IMAGES), [colours_in(image) for image in IMAGES])
    assert opened.decode_jpeg(jpeg(IMAGES[0])).shape == IMAGES[0].shape
    opened.close()


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_a_batch_is_cut_to_what_the_graph_is_fixed_to(tmp_path, batch, count):
    opened = open_detector(model_exports.frozen_graph(tmp_path / "m.pb", batch=batch))
    try:
        assert opened.signature.batch_limit == batch
        assert_same(opened.detect(IMAGES[:count]), [colours_in(image) for image in IMAGES[:count]])
    finally:
        opened.close()


def test_images_of_other_sizes_and_strides(detector):
    flipped = np.concatenate([IMAGES, IMAGES])[::-2, ::-1, 5:75]
    assert_same(detector.detect(flipped), [colours_in(image) for image in flipped])


def test_four_threads_share_a_detector(detector):
    batches = [IMAGES[[i, j]] for i, j in itertools.permutations(range(len(IMAGES)), 2)] * 3
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(detector.detect, batches))
    for batch, found in zip(batches, answers, strict=True):
        assert_same(found, [colours_in(image) for image in batch])


@pytest.mark.parametrize(
    "images",
    [
        IMAGES[0],
        IMAGES.astype(np.float32),
        IMAGES[..., :1],
        np.zeros((1, 0, 8, 3), np.uint8),
        np.zeros((1, 8, 8, 4), np.uint8),
    ],
)
def test_other_shapes_and_dtypes_are_the_callers_mistake(detector, images):
    with pytest.raises(ValueError, match=r"images must be uint8 \(B, H, W, 3\), got .*images.shape"):
        detector.detect(images)


def test_a_closed_detector_says_so(exported):
    opened = open_detector(exported["frozen image_tensor"])
    opened.close()
    opened.close()
    with pytest.raises(ValueError, match="this detector is closed"):
        opened.detect(IMAGES)
    with pytest.raises(ValueError, match="this detector is closed"):
        opened.decode_jpeg(jpeg(IMAGES[0]))


def test_one_session_for_detecting_and_decoding(exported, monkeypatch):
    import tensorflow as tf

    opened_sessions = []
    real = tf.compat.v1.Session
    monkeypatch.setattr(tf.compat.v1, "Session", lambda **kw: opened_sessions.append(real(**kw)) or opened_sessions[-1])
    for name in ("frozen image_tensor", "tf2 encoded_image_string_tensor"):
        opened = open_detector(exported[name])
        opened.detect(IMAGES)
        opened.decode_jpeg(jpeg(IMAGES[0]))
        opened.close()
        assert len(opened_sessions) == 1
        opened_sessions.clear()


def faulty(tmp_path: Path, **replaced: Any) -> Detector:
    """A detector some of whose outputs are other functions of (tf, images, the right output)."""

    def build(tf: Any) -> dict[str, Any]:
        images = tf.compat.v1.placeholder(tf.uint8, [None, None, None, 3], "image_tensor")
        outputs = dict(zip(OUTPUTS, find_colours(tf, images), strict=True))
        return {name: replaced.get(name, keep)(tf, images, output) for name, output in outputs.items()}

    return open_detector(model_exports.frozen_graph_of(tmp_path / "faulty.pb", build))


def keep(tf: Any, images: Any, output: Any) -> Any:
    return output


@pytest.mark.parametrize("name", ["detection_boxes", "detection_scores", "detection_classes"])
def test_numbers_that_are_not_finite_name_the_image(tmp_path, name):
    def with_nan(tf: Any, images: Any, output: Any) -> Any:
        white = tf.reshape(tf.equal(images[:, 0, 0, 0], 255), [-1] + [1] * (len(output.shape) - 1))
        return tf.where(white, np.float32("nan"), output)

    opened = faulty(tmp_path, **{name: with_nan})
    images = IMAGES.copy()
    images[2, 0, 0] = 255
    with pytest.raises(DetectError, match=r"5 images of 80 x 60 px .* not finite \(image 2\)"):
        opened.detect(images)
    assert_same(opened.detect(images[:1]), [colours_in(images[0])])
    opened.close()


def test_a_model_that_answers_for_the_first_image_only_is_caught(tmp_path):
    opened = faulty(tmp_path, num_detections=lambda tf, images, output: output[:1])
    assert_same(opened.detect(IMAGES[:1]), [colours_in(IMAGES[0])])
    with pytest.raises(DetectError, match=r"2 images .*num_detections \(1,\): expected one row for each image"):
        opened.detect(IMAGES[:2])
    opened.close()


def test_num_detections_beyond_the_rows_or_below_zero(tmp_path):
    opened = faulty(tmp_path, num_detections=lambda tf, images, output: output + 100)
    (found,) = opened.detect(IMAGES[:1])
    assert found.classes.tolist() == [1, 0, 0]
    opened.close()
    opened = faulty(tmp_path, num_detections=lambda tf, images, output: output - 100)
    with pytest.raises(DetectError, match=r"num_detections \[-99.0\]"):
        opened.detect(IMAGES[:1])
    opened.close()


def test_whole_number_classes_and_counts_are_taken(tmp_path):
    def as_int(tf: Any, images: Any, output: Any) -> Any:
        return tf.cast(output, tf.int64)

    opened = faulty(tmp_path, num_detections=as_int, detection_classes=as_int)
    assert_same(opened.detect(IMAGES), [colours_in(image) for image in IMAGES])
    opened.close()


def test_detect_error_tells_what_the_model_said_and_of_which_images(tmp_path):
    def picky(tf: Any, images: Any, output: Any) -> Any:
        with tf.control_dependencies([tf.debugging.Assert(tf.shape(images)[1] < 50, ["taller than I like"])]):
            return tf.identity(output)

    opened = faulty(tmp_path, detection_scores=picky)
    with pytest.raises(DetectError, match=r"failed on 5 images of 80 x 60 px: .*taller than I like") as caught:
        opened.detect(IMAGES)
    assert len(str(caught.value)) < 400
    assert_same(opened.detect(IMAGES[:, :45]), [colours_in(image) for image in IMAGES[:, :45]])
    opened.close()


def test_a_graph_for_one_image_size_says_which(tmp_path):
    def build(tf: Any) -> dict[str, Any]:
        images = tf.compat.v1.placeholder(tf.uint8, [None, 32, 32, 3], "image_tensor")
        return dict(zip(OUTPUTS, find_colours(tf, images), strict=True))

    opened = open_detector(model_exports.frozen_graph_of(tmp_path / "m.pb", build))
    with pytest.raises(DetectError, match=r"failed on 5 images of 80 x 60 px: .*32, 32, 3"):
        opened.detect(IMAGES)
    opened.close()


# Decoding JPEGs


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_decode_jpeg_gives_three_channels_of_pixels_as_stored(detector, mode):
    gradient = np.broadcast_to(np.linspace(0, 255, 48, dtype=np.uint8)[:, None, None], (48, 64, 3)).copy()
    image = Image.fromarray(gradient).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned on its side: not applied here
    image.save(file := io.BytesIO(), "JPEG", quality=95, exif=exif)
    pixels = detector.decode_jpeg(file.getvalue())
    assert (pixels.dtype, pixels.shape) == (np.uint8, (48, 64, 3))
    assert np.abs(pixels.astype(int) - gradient).max() <= 4


def test_decode_jpeg_is_tensorflows_default_decoder(detector):
    import tensorflow as tf

    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    encoded = jpeg(noise, quality=80)
    np.testing.assert_array_equal(detector.decode_jpeg(encoded), tf.io.decode_jpeg(encoded, channels=3).numpy())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda b: b[: len(b) // 2], "damaged or cut-off JPEG"),
        (lambda b: b[:200], "damaged or cut-off JPEG"),
        (lambda b: b"", "not a JPEG"),
        (lambda b: b"\x89PNG\r\n\x1a\n" + b, r"not a JPEG: it starts with b'\\x89PNG"),
    ],
)
def test_decode_jpeg_refuses_damage(detector, spoil, message):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    with pytest.raises(ImageError, match=message):
        detector.decode_jpeg(spoil(jpeg(noise)))


# Finding


def write(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_every_way_to_name_a_model(tmp_path):
    saved, frozen = tmp_path / "export/saved_model", tmp_path / "export/frozen_inference_graph.pb"
    write(saved / "saved_model.pb")
    write(frozen)
    for path in (saved, saved / "saved_model.pb", str(saved), tmp_path / "export"):
        assert find_model(path) == ModelFiles(str(saved), "saved_model")
    assert find_model(frozen) == ModelFiles(str(frozen), "frozen_graph")
    shutil.rmtree(saved)
    assert find_model(tmp_path / "export") == ModelFiles(str(frozen), "frozen_graph")
    assert find_model(write(tmp_path / "any name.PB")) == ModelFiles(str(tmp_path / "any name.PB"), "frozen_graph")


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("m.h5", "Keras weights file: export it"),
        ("m.keras", "Keras archive: export it"),
        ("m.tflite", "TensorFlow Lite model.*give the SavedModel"),
        ("m.onnx", "ONNX model.*give the TensorFlow SavedModel"),
        ("m.pth", "PyTorch checkpoint"),
        ("m.PT", "PyTorch model"),
        ("model.ckpt", "training checkpoint: export it"),
        ("model.ckpt-1234.index", "training checkpoint: export it"),
        ("ckpt-0.index", "part of a training checkpoint: export it"),
        ("ckpt-0.data-00000-of-00001", "training checkpoint: export it"),
        ("label_map.pbtxt", "text file"),
        ("pipeline.config", "training configuration"),
        ("ssd.tar.gz", "archive: unpack it"),
        ("notes.txt", "not a model that boxbeam can open"),
    ],
)
def test_other_files_are_refused_with_what_to_export(tmp_path, name, advice):
    with pytest.raises(ModelError, match=f"{name} is .*{advice}"):
        find_model(write(tmp_path / name))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "found nothing"),
        (["b.txt", "a/c.txt"], "found a/, b.txt. Export the model first"),
        ([f"{i:02}" for i in range(20)], "10, 11 and 8 more"),
        (["1/saved_model.pb"], "Did you mean .*1?"),
        (["my_graph.pb"], "give the file itself: .*my_graph.pb"),
        (["checkpoint", "ckpt-7.index"], "This looks like a training folder: export it"),
        (["model.ckpt-7.meta"], "This looks like a training folder: export it"),
    ],
)
def test_a_folder_without_a_model_lists_what_it_holds(tmp_path, files, message):
    for file in files:
        write(tmp_path / file)
    with pytest.raises(ModelError, match=r"no model in .*: expected saved_model.pb.*" + message):
        find_model(tmp_path)


@pytest.mark.parametrize(
    ("path", "message"), [("", "no model at ''"), ("no/such", "no model at 'no/such'"), ("gs://b/m", "copy it first")]
)
def test_paths_that_lead_nowhere(path, message):
    with pytest.raises(ModelError, match=message):
        find_model(path)


def test_digest_is_of_the_bytes_wherever_they_lie(tmp_path):
    frozen = write(tmp_path / "a/m.pb", b"graph")
    assert find_model(frozen).digest() == hashlib.sha256(b"graph").hexdigest()

    for name, content in (("saved_model.pb", b"g"), ("variables/variables.index", b"i"), ("assets/x/words.txt", b"w")):
        write(tmp_path / "one" / name, content)
    shutil.copytree(tmp_path / "one", tmp_path / "elsewhere/two")
    one, two = find_model(tmp_path / "one"), find_model(tmp_path / "elsewhere/two")
    digest = one.digest()
    assert digest == two.digest()
    write(tmp_path / "elsewhere/two/notes.txt")
    assert digest == two.digest()
    digests = {digest}
    for name in ("saved_model.pb", "variables/variables.index", "assets/x/words.txt"):
        write(tmp_path / "elsewhere/two" / name, b"changed")
        digests.add(two.digest())
    (tmp_path / "elsewhere/two/assets/x/words.txt").rename(tmp_path / "elsewhere/two/assets/words.txt")
    digests.add(two.digest())
    assert len(digests) == 5


def test_finding_and_refusing_needs_no_tensorflow(tmp_path):
    (tmp_path / "empty").mkdir()
    code = (
        "import sys\n"
        "from od_core import errors\n"
        "from od_core.model import detector, tf_session\n"
        "try: detector.open_detector(sys.argv[1])\n"
        "except errors.ModelError as error: sys.exit('tensorflow' in sys.modules)\n"
        "sys.exit('not refused')"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "empty")], check=False).returncode == 0


# Refusing


def saved_model_of(folder: Path, edit: Callable[[Any], object]) -> Path:
    """A TF1 SavedModel of the sample whose SavedModel message was edited."""
    from tensorflow.core.protobuf import saved_model_pb2

    model_exports.tf1_saved_model(folder)
    saved_model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    edit(saved_model)
    (folder / "saved_model.pb").write_bytes(saved_model.SerializeToString())
    return folder


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "m.pb is empty"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "not a frozen graph: .*a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer: run `git lfs pull`"),
        (b"\xff\xfe" * 500, "damaged, or another kind of file"),
    ],
)
def test_a_file_that_is_no_graph(tmp_path, content, message):
    with pytest.raises(ModelError, match=message):
        open_detector(write(tmp_path / "m.pb", content))
    message = message.replace("m.pb", "saved_model.pb").replace("frozen graph", "SavedModel")
    with pytest.raises(ModelError, match=message):
        open_detector(write(tmp_path / "saved_model.pb", content))


def test_a_frozen_graph_cut_short(tmp_path, exported):
    content = exported["frozen image_tensor"].read_bytes()
    with pytest.raises(ModelError, match="damaged"):
        open_detector(write(tmp_path / "m.pb", content[: len(content) // 2]))


def test_a_graph_with_nothing_in_it(tmp_path):
    # Field 4 of a GraphDef: its version, and no nodes.
    with pytest.raises(ModelError, match="holds no graph"):
        open_detector(write(tmp_path / "m.pb", b"\x22\x02\x08\x01"))


def no_boxes(tf: Any) -> dict[str, Any]:
    images = tf.compat.v1.placeholder(tf.uint8, [None, None, None, 3], "image_tensor")
    return {"detection_scores": tf.cast(images[:, 0, 0], tf.float32), "logits": tf.cast(images, tf.float32) + 1.0}


def other_input(tf: Any) -> dict[str, Any]:
    images = tf.compat.v1.placeholder(tf.uint8, [None, None, None, 3], "pixels")
    return dict(zip(OUTPUTS, find_colours(tf, images), strict=True))


def wrong_dtype(tf: Any) -> dict[str, Any]:
    images = tf.compat.v1.placeholder(tf.float32, [None, None, None, 3], "image_tensor")
    return dict(zip(OUTPUTS, find_colours(tf, images), strict=True))


def wrong_rank(tf: Any) -> dict[str, Any]:
    image = tf.compat.v1.placeholder(tf.uint8, [None, None, 3], "image_tensor")
    return dict(zip(OUTPUTS, find_colours(tf, image[None]), strict=True))


def grey_input(tf: Any) -> dict[str, Any]:
    images = tf.compat.v1.placeholder(tf.uint8, [None, None, None, 1], "image_tensor")
    return dict(zip(OUTPUTS, find_colours(tf, tf.tile(images, [1, 1, 1, 3])), strict=True))


def text_scores(tf: Any) -> dict[str, Any]:
    images = tf.compat.v1.placeholder(tf.uint8, [None, None, None, 3], "image_tensor")
    boxes, scores, classes, count = find_colours(tf, images)
    return dict(zip(OUTPUTS, (boxes, tf.strings.as_string(scores), classes, count), strict=True))


def two_inputs(tf: Any) -> dict[str, Any]:
    tf.compat.v1.placeholder(tf.string, [None], "tf_example")
    images = tf.compat.v1.placeholder(tf.uint8, [None, None, None, 3], "image_tensor")
    return dict(zip(OUTPUTS, find_colours(tf, images), strict=True))


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (no_boxes, "no output detection_boxes, detection_classes, num_detections.*image_tensor uint8.*logits float32"),
        (other_input, r"0 inputs named image_tensor or .*Inputs found: pixels uint8 \[\?, \?, \?, 3\]"),
        (two_inputs, "2 inputs named image_tensor or .*tf_example string"),
        (wrong_dtype, r"image_tensor float32 \[\?, \?, \?, 3\] is not uint8 of rank 4"),
        (wrong_rank, r"image_tensor uint8 \[\?, \?, 3\] is not uint8 of rank 4"),
        (grey_input, "does not take images of 3 channels"),
        (text_scores, r"detection_scores string \[\?, 3\] is not float32"),
    ],
)
def test_a_frozen_graph_that_is_no_detector(tmp_path, build, reason):
    with pytest.raises(ModelError, match=f"not a detector that boxbeam can run: .*{reason}") as caught:
        open_detector(model_exports.frozen_graph_of(tmp_path / "m.pb", build))
    assert "Expected what the TensorFlow Object Detection API exports" in str(caught.value)


def test_a_saved_model_of_a_classifier_lists_what_it_has(tmp_path):
    with pytest.raises(
        ModelError, match=r"no output detection_boxes, .*keras_tensor float32 \[\?, 32, 32, 3\].*output_0"
    ):
        open_detector(model_exports.classifier(tmp_path / "model"))


def test_a_graph_with_many_ends_is_listed_in_part(tmp_path):
    def build(tf: Any) -> dict[str, Any]:
        return {f"end_{i:02}": tf.constant(i) for i in range(50)}

    with pytest.raises(ModelError, match=r"end_00 int32 .*end_11 int32 .*and 38 more") as caught:
        open_detector(model_exports.frozen_graph_of(tmp_path / "m.pb", build))
    assert len(str(caught.value)) < 2000


def add_unknown_operation(graph_def: Any) -> None:
    graph_def.node.add(name="custom", op="BoxbeamUnknownOp")


def test_an_unknown_operation_is_named(tmp_path):
    graph_def = build_blocks_graph()
    add_unknown_operation(graph_def)
    frozen = write(tmp_path / "m.pb", graph_def.SerializeToString())
    saved = saved_model_of(tmp_path / "saved", lambda m: add_unknown_operation(m.meta_graphs[0].graph_def))
    for path in (frozen, saved):
        with pytest.raises(ModelError, match=r"uses the operation BoxbeamUnknownOp, which TensorFlow .* does not have"):
            open_detector(path)


def drop_signatures(saved_model: Any) -> None:
    saved_model.meta_graphs[0].signature_def.clear()


def rename_signature(saved_model: Any) -> None:
    signatures = saved_model.meta_graphs[0].signature_def
    signatures["predict"].CopyFrom(signatures["serving_default"])
    del signatures["serving_default"]


def add_signatures(saved_model: Any) -> None:
    rename_signature(saved_model)
    signatures = saved_model.meta_graphs[0].signature_def
    signatures["another"].CopyFrom(signatures["predict"])


def add_input(saved_model: Any) -> None:
    inputs = saved_model.meta_graphs[0].signature_def["serving_default"].inputs
    inputs["boxes"].CopyFrom(inputs["inputs"])


def int_input(saved_model: Any) -> None:
    saved_model.meta_graphs[0].signature_def["serving_default"].inputs["inputs"].dtype = 9  # DT_INT64


def string_input(saved_model: Any) -> None:
    spec = saved_model.meta_graphs[0].signature_def["serving_default"].inputs["inputs"]
    spec.dtype = 7  # DT_STRING
    del spec.tensor_shape.dim[1:]


def lost_tensor(saved_model: Any) -> None:
    outputs = saved_model.meta_graphs[0].signature_def["serving_default"].outputs
    outputs["detection_boxes"].name = "nowhere:0"


def more_tags(saved_model: Any) -> None:
    copy = saved_model.meta_graphs.add()
    copy.CopyFrom(saved_model.meta_graphs[0])
    for meta_graph, tags in zip(saved_model.meta_graphs, (["train"], ["serve", "tpu"]), strict=True):
        meta_graph.meta_info_def.tags[:] = tags


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (drop_signatures, "without the signature serving_default: found none"),
        (add_signatures, r"without the signature serving_default: found \['another', 'predict'\]"),
        (add_input, "it has 2 inputs instead of one.*boxes uint8"),
        (int_input, "inputs int64 .* is neither uint8 nor float32 nor string"),
        (string_input, "nothing in its graph decodes the strings of its input inputs string"),
        (lost_tensor, "nowhere"),
        (more_tags, r"holds 2 graphs with tags \[\['train'\], \['serve', 'tpu'\]\]"),
        (lambda saved_model: saved_model.ClearField("meta_graphs"), "holds 0 graphs"),
    ],
)
def test_a_saved_model_that_is_no_detector(tmp_path, edit, reason):
    with pytest.raises(ModelError, match=reason):
        open_detector(saved_model_of(tmp_path / "model", edit))


def test_the_only_signature_will_do(tmp_path):
    opened = open_detector(saved_model_of(tmp_path / "model", rename_signature))
    assert_same(opened.detect(IMAGES), [colours_in(image) for image in IMAGES])
    opened.close()


def test_a_saved_model_whose_weights_were_not_copied(tmp_path, exported):
    for kept in ("saved_model.pb", "variables/variables.index"):
        source = exported["tf2 image_tensor"]
        write(tmp_path / "model" / kept, (source / kept).read_bytes())
        with pytest.raises(ModelError, match=r"lacks its weights|cannot load .*variables"):
            open_detector(tmp_path / "model")


# Silence


def run_python(code: str, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, check=True, env={**kept, **environment}
    )


def test_opening_prints_nothing_and_keeps_what_others_print(exported):
    code = (
        "import sys, os, numpy as np\n"
        "from od_core.model.detector import open_detector\n"
        "sys.stderr.write('before '); sys.stderr.flush()\n"
        "opened = open_detector(sys.argv[1])\n"
        "opened.detect(np.zeros((1, 9, 9, 3), np.uint8))\n"
        "opened.close()\n"
        "os.write(2, b'after')"
    )
    done = run_python(code, str(exported["tf2 image_tensor"]))
    assert (done.stdout, done.stderr) == ("", "before after")
    assert "port.cc" in run_python(code, str(exported["tf2 image_tensor"]), TF_CPP_MIN_LOG_LEVEL="0").stderr


def test_tensorflow_that_cannot_be_imported_says_what_to_install(tmp_path, exported):
    broken = write(
        tmp_path / "tensorflow/__init__.py", b"import os; os.write(2, b'I0000 half way\\n'); import nothing_such"
    )
    code = (
        "import sys\n"
        "from od_core import errors\n"
        "from od_core.model import detector\n"
        "try: detector.open_detector(sys.argv[1])\n"
        "except errors.ModelError as error: print(error)"
    )
    path = os.pathsep.join([str(broken.parent.parent), str(Path(tf_session.__file__).parents[2])])
    done = run_python(code, str(exported["frozen image_tensor"]), PYTHONPATH=path)
    assert "needs TensorFlow, which cannot be imported (No module named 'nothing_such')" in done.stdout
    assert done.stderr == "I0000 half way\n"  # on failure nothing is held back


# Against what the Object Detection API itself answered

BCCD = "data/datasets/bccd/BCCD/JPEGImages"


def oracle(path: Path) -> dict[str, Detections]:
    """File name -> the detections in an oracle CSV, in its order (best first)."""
    rows: dict[str, list[dict[str, str]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row["filename"], []).append(row)
    return {
        name: Detections.best_first(
            [[float(row[edge]) for edge in ("ymin", "xmin", "ymax", "xmax")] for row in ranked],
            [float(row["score"]) for row in ranked],
            [int(row["class"]) for row in ranked],
        )
        for name, ranked in rows.items()
    }


def assert_as_oracle(found: Detections, expected: Detections, name: str) -> None:
    """Same class and box at each rank; ranks whose scores are within 1e-5 of each other may have swapped."""
    assert len(found) == len(expected), name
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5, err_msg=name)
    free = list(range(len(found)))
    for rank in range(len(expected)):
        near = [i for i in free if i == rank or abs(expected.scores[i] - expected.scores[rank]) <= 1e-5]
        match = next(
            (
                i
                for i in sorted(near, key=lambda i: i != rank)
                if found.classes[i] == expected.classes[rank]
                and np.abs(found.boxes[i] - expected.boxes[rank]).max() <= 1e-5
            ),
            None,
        )
        assert match is not None, f"{name}, rank {rank}: {expected.classes[rank]} {expected.boxes[rank]} is not there"
        free.remove(match)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("model", "answers"),
    [
        ("ssd_mobilenet_bccd_tf1/frozen_inference_graph.pb", "infer_detections"),
        ("ssd_mobilenet_bccd_tf1", "infer_detections"),
        ("ssd_mobilenet_bccd_tf1_encoded", "infer_detections"),
        ("ssd_mobilenet_bccd_tf1_encoded/frozen_inference_graph.pb", "infer_detections"),
        ("ssd_mobilenet_bccd_tf1_tfexample", "infer_detections"),
        ("ssd_mobilenet_v2_fpnlite_bccd_tf2", "tf2"),
        ("ssd_mobilenet_v2_fpnlite_bccd_tf2_encoded", "tf2"),
    ],
)
def test_real_models_answer_as_the_api_did(shared, model, answers):
    expected = oracle(shared / "oracles" / answers / "bccd_val_detections.csv")
    ids = (shared / "models/ssd_mobilenet_bccd_tf1/split_val.txt").read_text().split()
    names = [f"{image_id}.jpg" for image_id in ids]
    assert len(names) == 73
    opened = open_detector(shared / "models" / model)
    try:
        for start in range(0, len(names), 4):
            batch = names[start : start + 4]
            images = np.stack([opened.decode_jpeg((shared / BCCD / name).read_bytes()) for name in batch])
            for name, found in zip(batch, opened.detect(images), strict=True):
                assert_as_oracle(found, expected[name], name)
    finally:
        opened.close()
