"""What is behind the numbers: curves, confusions, kinds of errors, calibration, sizes, slices."""
