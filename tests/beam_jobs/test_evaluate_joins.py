"""What `boxbeam evaluate` holds against each other: frames, their sizes, classes and splits."""

import pytest

from od_core.ground_truth import GroundTruth
from tests.beam_jobs.evaluation_run import MAP, ONE, PASCAL, write_label_map
from tests.pipelines import evaluation_files as files
from tests.pipelines.evaluation_files import CORNER, LEFT, WHOLE, failed_row, found_row, truth_row


class TestFrames:
    def test_by_the_data_sets_own_id(self, run):
        found = [found_row("139", (1, WHOLE, 0.9), kind="record"), found_row("285", (1, LEFT, 0.9), kind="record")]
        truth = [
            truth_row("val/x.jpg", (1, LEFT), source_id="285"),
            truth_row("val/y.jpg", (1, WHOLE), source_id="139"),
        ]
        assert run(found, truth) == 0
        assert run.metrics[MAP] == ONE

    def test_ambiguous_names_are_not_guessed(self, run):
        found = [found_row("x.jpg", (1, WHOLE, 0.9)), found_row("y.jpg", (1, WHOLE, 0.9))]
        truth = [truth_row("a/x.jpg", (1, WHOLE)), truth_row("b/x.jpg"), truth_row("c/y.jpg", (1, WHOLE))]
        assert run(found, truth) == 2
        assert "2 of 3 images of the ground truth were not processed: 'a/x.jpg', 'b/x.jpg'" in run.err
        assert "names that could each mean several of them: 'x.jpg'" in run.err
        assert run(found, truth, "--allow_missing") == 0
        assert run.report["names"]["ambiguous"] == ["x.jpg"]
        assert run.report["frames"]["evaluated"] == 1

    def test_unprocessed_images_are_refused_before_anything_is_written(self, run):
        found = [found_row("a.jpg", (1, WHOLE, 0.9)), failed_row("b.jpg")]
        truth = [truth_row("a.jpg", (1, WHOLE)), truth_row("b.jpg"), truth_row("c.jpg", (1, WHOLE))]
        assert run(found, truth) == 2
        assert "2 of 3 images" in run.err
        assert "1 of them because they failed: 'b.jpg', 'c.jpg'" in run.err
        assert "--retry_failed" in run.err
        assert "--allow_missing" in run.err
        assert not run.output.exists()
        assert run(found, truth, "--allow_missing") == 0
        assert run.metrics[MAP] == ONE
        frames = run.report["frames"]
        assert (frames["evaluated"], frames["unprocessed"], frames["failed"]) == (1, 2, 1)
        assert run.report["classes"][0]["objects"] == 1  # in the evaluated frames

    def test_empty_images_count(self, run):
        """A false positive in an image without objects, and an image in which nothing was found."""
        found = [found_row("a.jpg", (1, WHOLE, 0.9)), found_row("b.jpg"), found_row("c.jpg", (1, LEFT, 0.8))]
        truth = [truth_row("a.jpg"), truth_row("b.jpg", (1, WHOLE)), truth_row("c.jpg", (1, LEFT))]
        assert run(found, truth) == 0
        assert run.metrics[PASCAL] == pytest.approx(1 / 2 / 2)
        assert (run.report["frames"]["without_objects"], run.report["frames"]["without_detections"]) == (1, 1)

    def test_nothing_in_common_shows_a_name_of_each(self, run):
        assert run([found_row("x/a.jpg", (1, WHOLE, 0.9))], [truth_row("b.png", (1, WHOLE))]) == 2
        assert "the detections speak of 'x/a.jpg', the ground truth of 'b.png'" in run.err
        assert run([found_row("x/a.jpg")], [truth_row("b.png", (1, WHOLE))], "--allow_missing") == 2

    def test_all_failed(self, run):
        assert run([failed_row("a.jpg")], [truth_row("a.jpg", (1, WHOLE))], "--allow_missing") == 2
        assert "has failed" in run.err

    def test_frames_of_a_video(self, run):
        """Frame 10 and 2 are annotated; frame 2 comes first, and so does its equal score."""
        found = [
            found_row("v.mp4", *([(1, WHOLE, 0.5)] if frame != 10 else [(1, CORNER, 0.5)]), frame=frame, kind="video")
            for frame in range(12)
        ]
        truth = [
            truth_row("v.mp4", (1, WHOLE), frame=10, kind="video"),
            truth_row("v.mp4", (1, WHOLE), frame=2, kind="video"),
        ]
        assert run(found, truth) == 0
        assert run.metrics["DetectionBoxes_Precision/mAP@.50IOU"] == pytest.approx(51 / 101)  # first by name: right
        assert run.metrics[PASCAL] == pytest.approx(1 / 2 / 2)  # last by name first: wrong
        assert run.report["frames"]["unknown"] == 10
        assert run.report["names"]["unknown"] == ["v.mp4 (10 frames)"]
        assert "  10 frames of detections left out, the ground truth lacks them: v.mp4 (10 frames)\n" in run.out

    def test_a_stretch_that_failed_is_all_its_frames(self, run):
        """Told by one row, of which not even the first frame is annotated."""
        found = [found_row("v.mp4", (1, WHOLE, 0.9), frame=1, kind="video")]
        found.append(
            failed_row("v.mp4", frame=2, kind="video")._replace(error=files.BROKEN._replace(last_frame_index=8))
        )
        truth = [truth_row("v.mp4", (1, WHOLE), frame=frame, kind="video") for frame in (1, 3, 5, 9)]
        assert run(found, truth) == 2
        assert "3 of 4 images of the ground truth were not processed, 2 of them because they failed" in run.err

    def test_a_failed_video_is_failed_frames(self, run):
        found = [found_row("v.mp4", (1, WHOLE, 0.9), frame=1, kind="video")]
        found.append(failed_row("v.mp4", frame=None, kind="video"))
        truth = [truth_row("v.mp4", (1, WHOLE), frame=frame, kind="video") for frame in (1, 2, 3)]
        assert run(found, truth, "--allow_missing") == 0
        assert run.report["names"]["unprocessed"] == ["v.mp4 (2 frames)"]
        assert run.report["frames"]["failed"] == 2
        assert run.report["frames"]["unknown"] == 0

    def test_an_image_without_a_frame_number_is_frame_0(self, run):
        assert run([found_row("a.jpg", (1, WHOLE, 0.9))], [truth_row("a.jpg", (1, WHOLE), frame=None)]) == 0

    @pytest.mark.parametrize("apart", [1, 3])
    def test_a_frame_twice_in_the_detections_is_refused(self, run, apart):
        """In one row group and in two."""
        rows = [found_row("a.jpg"), *[found_row(f"{n}.jpg") for n in range(apart - 1)], found_row("a.jpg")]
        assert run(rows, [truth_row("a.jpg", (1, WHOLE))]) == 2
        assert "two rows about 'a.jpg'" in run.err

    def test_a_frame_twice_in_the_ground_truth_is_refused(self, run):
        assert run([found_row("a.jpg")], [truth_row("b.jpg"), truth_row("a.jpg"), truth_row("a.jpg")]) == 2
        assert "1 images more than once, such as 'a.jpg'" in run.err

    def test_annotations_that_cannot_be_used_are_left_out(self, run):
        found = [found_row("a.jpg", (1, WHOLE, 0.9)), found_row("b.jpg", (1, WHOLE, 1.0))]
        truth = [truth_row("a.jpg", (1, WHOLE)), failed_row("b.jpg")]
        assert run(found, truth) == 0
        assert run.metrics[MAP] == ONE
        assert (run.report["names"]["unusable"], run.report["frames"]["unknown"]) == (["b.jpg"], 0)
        assert run([found_row("b.jpg")], [failed_row("b.jpg")]) == 2
        assert "not one of 1 annotations" in run.err


class TestSizes:
    @pytest.mark.parametrize(
        ("truth_size", "found_size", "area"),
        [((20, 20), (20, 20), "small"), ((None, None), (50, 50), "medium"), ((300, 300), (150, 150), "large")],
    )
    def test_pixels_are_those_of_the_ground_truth_where_it_says(self, run, truth_size, found_size, area):
        found, truth = found_row("a.jpg", (1, WHOLE, 0.9), size=found_size), truth_row("a.jpg", (1, WHOLE))
        assert run([found], [truth._replace(width=truth_size[0], height=truth_size[1])]) == 0
        defined = [name for name, x in run.metrics.items() if "Precision/mAP (" in name and x >= 0]
        assert defined == [f"DetectionBoxes_Precision/mAP ({area})"]

    def test_an_image_that_was_turned_is_told_of(self, run):
        found = [found_row("a.jpg", (1, WHOLE, 0.9), size=(100, 200)), found_row("b.jpg")]
        assert run(found, [truth_row("a.jpg", (1, WHOLE)), truth_row("b.jpg")]) == 0
        name = "a.jpg: 200 x 100 in the ground truth, 100 x 200 in the detections"
        assert run.report["names"]["other_size"] == [name]
        assert f"EXIF orientation? resized?), so boxes may not lie where they should: {name}" in run.out

    def test_an_image_of_unknown_size_is_refused(self, run):
        row = found_row("a.jpg", (1, WHOLE, 0.9))._replace(width=None, height=None)
        assert run([row], [truth_row("a.jpg", (1, WHOLE), size=(None, None))]) == 2
        assert "how large 'a.jpg' is" in run.err


class TestClasses:
    TRUTH = (truth_row("a.jpg", (1, WHOLE)), truth_row("b.jpg", (2, LEFT)))

    def test_names_decide_not_numbers(self, run):
        found = [found_row("a.jpg", (7, WHOLE, 0.9)), found_row("b.jpg", (1, LEFT, 0.9), (3, WHOLE, 1.0))]
        assert run(found, self.TRUTH, labels={7: "cat", 1: "dog", 3: "bird"}) == 0
        assert (run.metrics[MAP], run.metrics[PASCAL]) == (ONE, ONE)
        assert run.report["left_out"]["classes_of_detections"] == ["bird"]
        assert "1 classes of detections that the ground truth lacks, left out: bird" in run.out
        assert [(one["id"], one["name"], one["detections"]) for one in run.report["classes"]] == [
            (1, "cat", 1),
            (2, "dog", 1),
        ]

    def test_the_name_in_a_label_map_or_what_it_shows(self, run):
        folder = run.folder / "set"
        folder.mkdir()
        (folder / "label_map.pbtxt").write_text(
            'item { id: 1 name: "/m/c" display_name: "cat" } item { id: 2 name: "/m/d" display_name: "dog" }'
        )
        files.write_truth(folder / "t.parquet", self.TRUTH)
        found = [found_row("a.jpg", (1, WHOLE, 0.9)), found_row("b.jpg", (2, LEFT, 0.9))]
        assert run(found, folder, labels={1: "cat", 2: "/m/d"}) == 0
        assert run.metrics[MAP] == ONE

    def test_a_number_without_a_name_counts_where_the_ground_truth_has_numbers(self, run):
        found = [found_row("a.jpg", (1, WHOLE, 0.9)), found_row("b.jpg", (2, LEFT, 0.9), (9, WHOLE, 1.0))]
        assert run(found, self.TRUTH, labels={}) == 0
        assert run.metrics[MAP] == ONE
        assert run.report["left_out"]["classes_of_detections"] == ["class 9"]

    def test_but_not_where_boxbeam_numbered_the_names(self, run):
        """Pascal VOC has names only; which number the model's author gave them nobody knows."""
        (run.folder / "Annotations").mkdir()
        (run.folder / "Annotations/a.xml").write_text(VOC)
        found = [found_row("a.jpg", (1, (0.1, 0.1, 0.5, 0.5), 0.9))]
        assert run(found, run.folder / "Annotations", labels={1: "cat"}) == 0
        assert run.metrics[PASCAL] == 1.0
        assert run(found, run.folder / "Annotations", labels={}) == 2
        assert "the detections name 'class 1', the ground truth 'cat'" in run.err

    def test_nor_where_only_some_of_several_sets_have_numbers(self, run):
        """The label map may be the one of the set that has names only."""
        (run.folder / "Annotations").mkdir()
        (run.folder / "Annotations/a.xml").write_text(VOC)
        other = files.write_truth(run.folder / "other.parquet", [truth_row("b.jpg", (1, LEFT))], {1: "cat"})
        sets = (run.folder / "Annotations", "--ground_truth", run.folder / "Annotations", other)
        found = [found_row("a.jpg", (1, (0.1, 0.1, 0.5, 0.5), 0.9)), found_row("b.jpg", (1, LEFT, 0.9))]
        assert run(found, *sets, labels={1: "cat"}) == 0
        assert run.metrics[PASCAL] == 1.0
        assert run.report["frames"]["evaluated"] == 2
        assert run.report["ground_truth"]["form"] == "voc+parquet"
        assert run(found, *sets, labels={}) == 2
        assert "no class in common" in run.err

    def test_no_class_in_common_is_refused(self, run):
        found = [found_row("a.jpg", (1, WHOLE, 0.9)), found_row("b.jpg", (2, LEFT, 0.9))]
        assert run(found, self.TRUTH, labels={1: "RBC", 2: "WBC"}) == 2
        assert "no class in common: the detections name 'RBC', 'WBC', the ground truth 'cat', 'dog'" in run.err
        assert not run.output.exists()

    def test_no_detection_at_all_is_not_a_stranger(self, run):
        assert run([found_row("a.jpg"), found_row("b.jpg")], self.TRUTH) == 0
        assert run.metrics[MAP] == run.metrics[PASCAL] == 0.0

    def test_names_are_numbered_where_there_are_no_numbers(self, run):
        truth = [truth_row("a.jpg", (-1, WHOLE))._replace(objects=named(WHOLE, "dog"))]
        truth.append(truth_row("b.jpg")._replace(objects=named(LEFT, "cat")))
        found = [found_row("a.jpg", (1, WHOLE, 0.9)), found_row("b.jpg", (2, LEFT, 0.9))]
        assert run(found, truth, labels={1: "dog", 2: "cat"}) == 0
        assert run.metrics[MAP] == ONE
        assert [(one["id"], one["name"]) for one in run.report["classes"]] == [(1, "cat"), (2, "dog")]

    def test_objects_out_of_the_label_map_are_told_of(self, run):
        write_label_map(run.folder / "set", "cat")
        truth = [truth_row("a.jpg", (1, WHOLE)), truth_row("b.jpg")._replace(objects=named(LEFT, "yeti"))]
        files.write_truth(run.folder / "set/t.parquet", truth)
        assert run([found_row("a.jpg", (1, WHOLE, 0.9)), found_row("b.jpg")], run.folder / "set") == 0
        assert run.metrics[PASCAL] == 1.0
        assert run.report["left_out"]["classes_of_objects"] == ["yeti"]

    def test_ground_truth_without_any_class(self, run):
        assert run([found_row("a.jpg", (1, WHOLE, 0.9))], [truth_row("a.jpg")]) == 2
        assert "neither a label map nor an object with a class" in run.err


def named(box, label):
    return GroundTruth.of([box], [-1], labels=[label])


VOC = """<annotation><filename>a.jpg</filename><size><width>200</width><height>100</height><depth>3</depth></size>
<object><name>cat</name><difficult>0</difficult>
<bndbox><xmin>20</xmin><ymin>10</ymin><xmax>100</xmax><ymax>50</ymax></bndbox></object></annotation>"""


class TestSplits:
    @pytest.fixture
    def records(self, tmp_path):
        """A record dataset's index: a.jpg and b.jpg in train, c.jpg in val."""
        rows = [truth_row("a.jpg", (1, WHOLE)), truth_row("b.jpg", (2, LEFT)), truth_row("c.jpg", (1, WHOLE))]
        write_label_map(tmp_path / "records")
        files.write_truth(tmp_path / "records/index-00000.parquet", rows, splits=["train", "train", "val"])
        (tmp_path / "records/manifest.json").write_text("{}")
        return tmp_path / "records"

    def test_only_the_images_of_a_split(self, run, records):
        found = [found_row("c.jpg", (1, WHOLE, 0.9))]
        assert run(found, records) == 2
        assert run(found, records, "--split", "val") == 0
        assert run.metrics[PASCAL] == 1.0
        assert run.report["ground_truth"] == {"paths": [str(records)], "form": "records", "splits": ["val"]}

    def test_one_that_is_not_there(self, run, records):
        assert run([found_row("c.jpg")], records, "--split", "vla") == 2
        assert "did you mean val" in run.err
