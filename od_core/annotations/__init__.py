"""Annotations that other tools wrote: Pascal VOC and COCO, and ground truth from any of its forms."""
