"""Detections of images and videos: the job, its item side, and what batches frames for the model."""
