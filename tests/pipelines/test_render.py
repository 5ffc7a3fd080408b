"""render: what is drawn on images, beside or below their ground truth, and what is not rendered and why."""

import dataclasses
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from od_core.annotations.shapes import encode_runs
from od_core.drawing import caption, colour_of, draw_detections, draw_ground_truth, draw_shapes, side_by_side
from od_core.errors import UsageError
from od_core.ground_truth import GroundTruth
from od_core.images import MAX_FILE_BYTES, decode_image, encode_jpeg
from od_core.schemas import FrameError, FrameRow
from pipelines.render.job import RenderJob
from tests.blocks_scene import draw_scene, jpeg
from tests.pipelines.render_files import (
    LABELS,
    do,
    found_in,
    images,
    pixels,
    render_it,
    rendered,
    row_of,
    tell,
    truth_of,
    write_pngs,
    write_truth,
)

# Images


def test_boxes_are_drawn_where_the_rows_say_and_nothing_else_changes(tmp_path: pathlib.Path) -> None:
    scenes = images(tmp_path, "a.png", "b/c.png")
    rows = render_it(tmp_path)
    assert list(rows) == ["a.png", "b/c.png"]
    for key, scene in scenes.items():
        picture = pixels(tmp_path / "out" / key)
        assert picture.shape == scene.image.shape
        for class_id, (top, left, bottom, right) in scene.boxes_px.items():
            middle_x, middle_y = (left + right) // 2, (top + bottom) // 2
            for y, x in ((bottom, middle_x), (middle_y, left), (middle_y, right - 1)):
                assert tuple(picture[y, x]) == colour_of(class_id)
            np.testing.assert_array_equal(picture[middle_y, middle_x], scene.image[middle_y, middle_x])
        assert rows[key] == {
            "key": key,
            "source": str(tmp_path / "in" / key),
            "kind": "image",
            "record_index": None,
            "frames": 1,
            "width": 320,
            "height": 240,
            "detections": len(scene.boxes_px),
            "objects": None,
            "file": key,
            **dict.fromkeys(("audio", "audio_error", "frame_index", "detection_index", "class_id", "label", "score")),
            "status": "done",
            "error": None,
        }


def test_detections_below_the_score_are_neither_drawn_nor_counted(tmp_path: pathlib.Path) -> None:
    (scene,) = write_pngs(tmp_path / "in", "a.png").values()
    found = found_in(scene, {1: 0.9, 2: 0.3, 3: 0.6})
    tell(tmp_path, row_of("a.png", scene, detections=found))
    for min_score, drawn in ((0.5, 2), (0.2, 3), (0.95, 0)):
        row = render_it(tmp_path, f"out{drawn}", min_score=min_score)["a.png"]
        assert row["detections"] == drawn
        expected = draw_detections(scene.image, found, LABELS.labels, min_score=min_score)
        np.testing.assert_array_equal(pixels(tmp_path / f"out{drawn}/a.png"), expected)
    np.testing.assert_array_equal(pixels(tmp_path / "out0/a.png"), scene.image)


def test_originals_of_every_format_become_pictures_that_browsers_show(tmp_path: pathlib.Path) -> None:
    scene = draw_scene(1)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/p.jpg").write_bytes(jpeg(scene.image))
    Image.fromarray(scene.image).save(tmp_path / "in/p.webp", lossless=True)
    Image.fromarray(scene.image).save(tmp_path / "in/p.webp.jpg", quality=95)
    Image.fromarray(scene.image).save(tmp_path / "in/p.tif")
    names = sorted(path.name for path in (tmp_path / "in").iterdir())
    tell(tmp_path, *(row_of(name, scene) for name in names))
    rows = render_it(tmp_path)
    files = {"p.jpg": "p.jpg", "p.webp": "p.webp.jpg", "p.webp.jpg": "p.webp.jpg.jpg", "p.tif": "p.tif.jpg"}
    assert {key: row["file"] for key, row in rows.items()} == files
    for key, file in files.items():
        original = decode_image((tmp_path / "in" / key).read_bytes())
        expected = encode_jpeg(draw_detections(original, found_in(scene), LABELS.labels))
        assert (tmp_path / "out" / file).read_bytes() == expected, key


def test_a_photo_is_drawn_upright(tmp_path: pathlib.Path) -> None:
    scene = draw_scene(2)
    (tmp_path / "in").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # stored a quarter turn to the left
    Image.fromarray(np.rot90(scene.image).copy()).save(tmp_path / "in/a.png", exif=exif)
    tell(tmp_path, row_of("a.png", scene))
    assert render_it(tmp_path)["a.png"]["error"] is None
    expected = draw_detections(scene.image, found_in(scene), LABELS.labels)
    np.testing.assert_array_equal(pixels(tmp_path / "out/a.png"), expected)


def test_what_cannot_be_rendered_is_a_failed_row_with_the_reason(tmp_path: pathlib.Path) -> None:
    scenes = write_pngs(tmp_path / "in", "bad.png", "gone.png", "good.png", "huge.png", "other.png", "refused.png")
    error = FrameError("detect", "DetectError", "the model failed on this image")
    rows = [row_of(name, scene) for name, scene in scenes.items() if name != "refused.png"]
    tell(tmp_path, *rows, FrameRow("refused.png", "", "image", 0, error=error))
    (tmp_path / "in/gone.png").unlink()
    (tmp_path / "in/bad.png").write_text("no picture any more")
    os.truncate(tmp_path / "in/huge.png", MAX_FILE_BYTES + 1)  # of which nothing is to be read
    Image.fromarray(scenes["other.png"].image[:, :300]).save(tmp_path / "in/other.png")
    rows = render_it(tmp_path)
    assert {key: row["status"] for key, row in rows.items() if row["status"] == "done"} == {"good.png": "done"}
    failed = {key: row["error"] for key, row in rows.items() if row["error"]}
    assert {key: (e["stage"], e["type"]) for key, e in failed.items()} == {
        "bad.png": ("decode", "ImageError"),
        "gone.png": ("read", "InputError"),
        "huge.png": ("decode", "ImageError"),
        "other.png": ("read", "InputError"),
        "refused.png": ("detect", "DetectError"),
    }
    assert failed["bad.png"]["message"].startswith("not a supported image but plain text")
    assert failed["gone.png"]["message"] == (
        f"the original lies no longer at {tmp_path}/in/gone.png; give its folder with --source_root"
    )
    assert failed["huge.png"]["message"].startswith("a file of 536,870,911 bytes, which is more than 511 MiB")
    assert failed["other.png"]["message"].startswith(
        "the original has 300 x 240 pixels, the detections were made from 320 x 240: it is another picture"
    )
    assert failed["refused.png"]["message"] == (
        "it failed when the detections were made, so there are none to draw: the model failed on this image"
    )


def test_masks_and_keypoints_that_were_kept_are_drawn_under_the_boxes(tmp_path: pathlib.Path) -> None:
    scenes = write_pngs(tmp_path / "in", "a.png", "b.png")
    rows = {name: row_of(name, scene) for name, scene in scenes.items()}
    found = rows["a.png"].detections
    assert found is not None
    mask = np.zeros((240, 320), np.uint8)
    mask[20:200, 30:90] = 1
    points = np.full((len(found), 2, 3), 0.4, np.float32)
    points[0, 1] = np.nan
    found = dataclasses.replace(found, masks=(encode_runs(mask),) * len(found), keypoints=points)
    tell(tmp_path, rows["a.png"]._replace(detections=found), rows["b.png"])
    render_it(tmp_path)
    colours = [colour_of(class_id) for class_id in found.classes.tolist()]
    shapes = draw_shapes(scenes["a.png"].image, found, colours, (240, 320))
    np.testing.assert_array_equal(pixels(tmp_path / "out/a.png"), draw_detections(shapes, found, LABELS.labels))
    plain = draw_detections(scenes["b.png"].image, found_in(scenes["b.png"]), LABELS.labels)
    np.testing.assert_array_equal(pixels(tmp_path / "out/b.png"), plain)


# Ground truth


def test_ground_truth_stands_beside_the_detections_in_the_same_colours(tmp_path: pathlib.Path) -> None:
    scenes = images(tmp_path, "a.png", "b.png")
    truth = write_truth(tmp_path / "truth/t.parquet", [(key, 0, truth_of(scene)) for key, scene in scenes.items()])
    rows = render_it(tmp_path, layout="side_by_side", ground_truth=truth)
    for key, scene in scenes.items():
        found = found_in(scene)
        same = GroundTruth.of(found.boxes, found.classes)  # in the detections' numbering, not in that of the truth
        left = draw_detections(scene.image, found, LABELS.labels)
        right = draw_ground_truth(scene.image, same, LABELS.labels)
        np.testing.assert_array_equal(pixels(tmp_path / "out" / key), side_by_side(left, right))
        height, width = pixels(tmp_path / "out" / key).shape[:2]
        assert (rows[key]["width"], rows[key]["height"]) == (width, height)
        assert (rows[key]["detections"], rows[key]["objects"]) == (len(found), len(found))


def test_an_image_without_ground_truth_says_so(tmp_path: pathlib.Path) -> None:
    scenes = images(tmp_path, "a.png", "b.png")
    truth = write_truth(tmp_path / "t.parquet", [("b.png", 0, truth_of(scenes["b.png"]))])
    finished = do(
        RenderJob(layout="side_by_side", ground_truth=(str(truth),)), tmp_path / "found", output=tmp_path / "beside"
    )
    assert finished.manifest.counts["without_ground_truth"] == 1
    left = draw_detections(scenes["a.png"].image, found_in(scenes["a.png"]), LABELS.labels)
    expected = side_by_side(left, scenes["a.png"].image, ("detections", "no ground truth"))
    np.testing.assert_array_equal(pixels(tmp_path / "beside/a.png"), expected)
    assert rendered(tmp_path / "beside")["a.png"]["objects"] is None
    render_it(tmp_path, ground_truth=truth)
    np.testing.assert_array_equal(pixels(tmp_path / "out/a.png"), caption(left, "no ground truth"))


def test_both_can_be_drawn_on_one_picture(tmp_path: pathlib.Path) -> None:
    (scene,) = images(tmp_path, "a.png").values()
    people = GroundTruth.of([[0.1, 0.1, 0.4, 0.6]], [1], labels=["green"], difficult=[True])
    render_it(tmp_path, ground_truth=write_truth(tmp_path / "t.parquet", [("a.png", 0, people)]))
    below = draw_ground_truth(scene.image, GroundTruth.of(people.boxes, [2], difficult=[True]), LABELS.labels)
    expected = draw_detections(below, found_in(scene), LABELS.labels)
    np.testing.assert_array_equal(pixels(tmp_path / "out/a.png"), expected)


def test_annotated_classes_that_the_detections_lack_keep_their_names(tmp_path: pathlib.Path) -> None:
    (scene,) = images(tmp_path, "a.png").values()
    people = GroundTruth.of([[0.1, 0.1, 0.4, 0.6]], [1], labels=["bicycle"])
    truth = write_truth(tmp_path / "t.parquet", [("a.png", 0, people)])
    render_it(tmp_path, layout="side_by_side", ground_truth=truth)
    unknown = GroundTruth.of(people.boxes, [-1], labels=["bicycle"])
    right = draw_ground_truth(scene.image, unknown, LABELS.labels)
    np.testing.assert_array_equal(pixels(tmp_path / "out/a.png")[-240:, -320:], right)


def test_classes_are_told_by_the_names_and_the_display_names_of_the_label_map(tmp_path: pathlib.Path) -> None:
    (scene,) = images(tmp_path, "a.png").values()
    people = GroundTruth.of([[0.1, 0.1, 0.4, 0.6]], [7], labels=["/m/01"])
    truth = write_truth(tmp_path / "truth/t.parquet", [("a.png", 0, people)])
    (tmp_path / "truth/label_map.pbtxt").write_text("item { id: 7 name: '/m/01' display_name: 'blue' }")
    render_it(tmp_path, layout="side_by_side", ground_truth=truth)
    right = draw_ground_truth(scene.image, GroundTruth.of(people.boxes, [3]), LABELS.labels)
    np.testing.assert_array_equal(pixels(tmp_path / "out/a.png")[-240:, -320:], right)


def test_images_are_matched_by_the_end_of_their_paths_and_by_source_id(tmp_path: pathlib.Path) -> None:
    scenes = images(tmp_path, "p/a.png", "17.png", "q/b.png")
    tell(tmp_path, *(row_of(key, scene) for key, scene in scenes.items()))
    pairs = [("data/p/a.png", scenes["p/a.png"]), ("17", scenes["17.png"])]
    truth = write_truth(tmp_path / "t.parquet", [(key, 0, truth_of(scene)) for key, scene in pairs])
    rows = render_it(tmp_path, layout="side_by_side", ground_truth=truth)
    assert {key for key, row in rows.items() if row["objects"] is not None} == {"p/a.png", "17.png"}


def test_ground_truth_of_other_images_is_refused_with_a_name_of_each(tmp_path: pathlib.Path) -> None:
    (scene,) = images(tmp_path, "a.png").values()
    truth = write_truth(tmp_path / "t.parquet", [("z.png", 0, truth_of(scene))])
    with pytest.raises(UsageError, match=r"the detections speak of 'a\.png', the ground truth of 'z\.png'"):
        render_it(tmp_path, ground_truth=truth)
    assert not (tmp_path / "out/manifest.json").exists()


def test_ground_truth_straight_from_pascal_voc(tmp_path: pathlib.Path) -> None:
    (scene,) = images(tmp_path, "a.png").values()
    (tmp_path / "voc/Annotations").mkdir(parents=True)
    (tmp_path / "voc/Annotations/a.xml").write_text(
        "<annotation><filename>a.png</filename><size><width>320</width><height>240</height></size><object>"
        "<name>blue</name><bndbox><xmin>32</xmin><ymin>24</ymin><xmax>160</xmax><ymax>120</ymax></bndbox></object>"
        "</annotation>"
    )
    render_it(tmp_path, layout="side_by_side", ground_truth=tmp_path / "voc")
    right = draw_ground_truth(scene.image, GroundTruth.of([[0.1, 0.1, 0.5, 0.5]], [3]), LABELS.labels)
    np.testing.assert_array_equal(pixels(tmp_path / "out/a.png")[-240:, -320:], right)
