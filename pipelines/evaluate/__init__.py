"""Detections against ground truth: the Beam graph, what it reads, joins and writes."""
