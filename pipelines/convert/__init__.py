"""Annotated images to TFRecord shards: the job, its plan, its item side, its report."""
