"""Whether this machine has a GPU that TensorFlow could use: found in no time, without TensorFlow."""

import os

_DRIVERS = ("/dev/nvidiactl", "/dev/kfd")


def has_gpu_driver() -> bool:
    """Whether the driver of an NVIDIA or AMD GPU is loaded."""
    return any(map(os.path.exists, _DRIVERS))
