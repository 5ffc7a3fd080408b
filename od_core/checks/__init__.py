"""What `boxbeam inspect` holds against files: detections, records, their index and manifest."""
