"""Boxes on pictures and videos: the job, its sources and rows, its item side."""
