"""Static pages about a detections dataset."""
