"""The folder into which a training loop writes TensorFlow checkpoints: which are there, in which order.

A checkpoint is a few files of one prefix: ckpt-12.index, ckpt-12.data-00000-of-00002, ..., and with TensorFlow 1
model.ckpt-1200.meta. The last number of the prefix is its step. Seen and kept as `export_folder` does it with exports.
"""

import hashlib
import os
import re
from pathlib import Path

from od_core.export_folder import Export, Listing, keep_files

_FILE = re.compile(r"^(?P<prefix>(?:[\w.-]+\.)?ckpt-?(?P<step>\d+))\.(?P<rest>index|meta|data-\d+-of-(?P<shards>\d+))$")
_MAX_STEP = 2**63 - 1


def list_checkpoints(folder: str) -> Listing:
    """The checkpoints in a local folder now, as exports; their paths are prefixes of the names of their files.

    `has_model` says that the index and every shard of the data are there. Other files are passed over.

    Raises:
        FileNotFoundError, NotADirectoryError, PermissionError: the folder itself cannot be read.
    """
    files: dict[str, list[re.Match[str]]] = {}
    for found in filter(None, map(_FILE.match, sorted(os.listdir(folder)))):
        if int(found["step"]) <= _MAX_STEP:
            files.setdefault(found["prefix"], []).append(found)
    exports = []
    for prefix, parts in files.items():
        try:
            exports.append(_checkpoint(folder, prefix, parts))
        except FileNotFoundError:
            continue  # deleted while it was looked at
    return Listing(sorted(exports), [])


def _checkpoint(folder: str, prefix: str, parts: list[re.Match[str]]) -> Export:
    digest = hashlib.sha256()
    newest = 0
    for part in parts:
        status = os.stat(os.path.join(folder, part[0]))
        newest = max(newest, status.st_mtime_ns)
        digest.update(f"{part[0]}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    shards = [int(part["shards"]) for part in parts if part["shards"]]
    is_complete = any(part["rest"] == "index" for part in parts) and bool(shards) and len(shards) == shards[0]
    path = os.path.join(folder, prefix)
    return Export(int(parts[0]["step"]), prefix, path, digest.hexdigest()[:32], newest / 1e9, is_complete)


def keep_checkpoint(checkpoint: Export, folder: str) -> str:
    """Give a checkpoint a second name: a folder with nothing but it, and the file `checkpoint` that names it.

    So it can be given to what wants a folder and takes the latest one there, and to what wants a prefix. Arguments and
    errors as for `export_folder.keep`.

    Returns:
        The folder.
    """
    source = os.path.dirname(checkpoint.path)
    found = filter(None, map(_FILE.match, sorted(os.listdir(source))))
    files = {one[0]: Path(source, one[0]) for one in found if one["prefix"] == checkpoint.name}
    return keep_files(checkpoint.name, folder, files, {"checkpoint": f'model_checkpoint_path: "{checkpoint.name}"\n'})
