"""An evaluation as plots and as one page for people, made from metrics.json and curves.parquet."""
