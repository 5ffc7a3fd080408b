# %% [markdown]
# # From annotations to numbers and pictures
#
# Every step of boxbeam is a command, `boxbeam convert` and so on; each is a function in Python too. Here they run on
# the built-in sample: harbours that boxbeam draws, with exact boxes, and a small detector that was trained on others.
# This notebook is made of `examples/chain.py` by `make pictures`.

# %%
import pathlib
import tempfile

from PIL import Image

from beam_jobs import convert, evaluate, infer, render, review
from od_core.detected_frames import read_frames
from od_core.harbour.sample import LABEL_MAP, MODEL, write_images

folder = pathlib.Path(tempfile.mkdtemp(prefix="boxbeam-"))
scene, records, found, scores, pictures, pages = (
    str(folder / name) for name in ("scene", "records", "found", "scores", "pictures", "pages")
)
write_images(scene, 6, seed=50)
Image.open(f"{scene}/JPEGImages/harbour_002.jpg").resize((480, 288))

# %% [markdown]
# **convert** makes TFRecords of annotated images, and accounts for every image and box.

# %%
labels = ["--label_map", str(LABEL_MAP), "--progress", "off"]
status = convert.main(["--input", scene, "--output", records, "--splits", "val=1", *labels])

# %% [markdown]
# **infer** runs the detector: one row of Parquet for every image, or frame of a video.

# %%
status = infer.main(["--model", str(MODEL), "--input", scene, "--output", found, *labels])

# %% [markdown]
# The rows as NumPy arrays. `od_core.supervision_detections.as_supervision(frame)` gives the same to supervision.

# %%
for frame in read_frames(found):
    best = frame.detections.best(min_score=0.9)
    print(
        frame.name,
        best.boxes.shape,
        *(f"{name} {score:.2f}" for name, score in zip(frame.labels, best.scores, strict=False)),
    )

# %% [markdown]
# **evaluate** holds them against the annotations, as pycocotools and the TensorFlow Object Detection API do.

# %%
status = evaluate.main(["--detections", found, "--ground_truth", records, "--output", scores, "--numbers_only"])

# %% [markdown]
# **render** draws them: found on the left, true on the right.

# %%
status = render.main(["--detections", found, "--ground_truth", records, "--output", pictures, "--progress", "off"])
Image.open(f"{pictures}/JPEGImages/harbour_002.jpg").resize((960, 320))

# %% [markdown]
# **review** makes pages to click through; open `index.html` in a browser.

# %%
status = review.main(["--detections", found, "--ground_truth", records, "--output", pages])
