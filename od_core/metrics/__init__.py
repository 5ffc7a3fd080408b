"""Numbers that say how well detections meet the ground truth, as accumulators that merge."""
