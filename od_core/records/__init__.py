"""TFRecord files of tf.train.Example: written, read from front to back, by number, or for training."""
