"""Static pages for looking at detections: what they are told, and how it is written. The pages are in `pages/`."""
