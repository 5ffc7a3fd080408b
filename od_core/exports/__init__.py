"""Detections in the formats of other tools: one file a format, each an `Exporter`."""
