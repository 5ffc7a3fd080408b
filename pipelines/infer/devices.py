"""Which device a process runs its model on, where several processes of a machine share out several GPUs."""

import socket
from collections.abc import Sequence

CPU = "cpu"

_claims: list[socket.socket] = []  # held for as long as this process lives


def claimed_device(devices: Sequence[str]) -> str | None:
    """The first of these devices that no other process on this machine has claimed; the first if all are taken.

    A claim is a Linux abstract socket of the device's name: the kernel drops it with the process, however that ends,
    so the process that replaces a crashed one gets its GPU. None for no devices: TensorFlow chooses.
    """
    if len(devices) < 2:
        return devices[0] if devices else None
    for device in devices:
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0boxbeam-{device}")
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return device
    return devices[0]
