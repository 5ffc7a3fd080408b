"""A command of the user's that makes an export of a checkpoint: weights alone cannot be run."""

import os
import shlex
import shutil
import subprocess
import uuid

from od_core.errors import ModelError, UsageError
from od_core.export_folder import Export

_PLACES = ("{checkpoint}", "{checkpoint_dir}", "{export}")
_SHOWN = 2000


class ExportCommand:
    """Exports checkpoints.

    Args:
        text: the command with its arguments, quoted as for a shell, but run without one. {checkpoint} is the prefix of
            the checkpoint's files, {checkpoint_dir} a folder with nothing but them, {export} the folder to export to.

    Raises:
        UsageError: no such program, or it is not told which checkpoint to take, or where to export to.
    """

    def __init__(self, text: str):
        try:
            self._words = shlex.split(text)
        except ValueError as error:
            raise UsageError(f"--export_command {text!r}: {error}") from error
        checkpoint, checkpoint_dir, export = (any(place in word for word in self._words) for place in _PLACES)
        if not export or not (checkpoint or checkpoint_dir):
            raise UsageError(
                f"--export_command {text!r}: must contain {{export}}, the folder to export to, and {{checkpoint}} or"
                " {checkpoint_dir}, what to export"
            )
        if shutil.which(self._words[0]) is None:
            raise UsageError(f"--export_command: there is no program {self._words[0]!r}")

    def run(self, checkpoint: Export, folder: str) -> str:
        """Export a checkpoint.

        Args:
            checkpoint: as `keep_checkpoint` has kept it.
            folder: for the export; what an earlier, finished run made there is taken as it is.

        Returns:
            The export's folder.

        Raises:
            ModelError: the command failed, or made nothing.
        """
        if os.path.isdir(folder):
            return folder
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        unfinished = f"{folder}.{uuid.uuid4().hex}"  # a command that outlived a watch may still write into an older one
        places = dict(
            zip(_PLACES, (os.path.join(checkpoint.path, checkpoint.name), checkpoint.path, unfinished), strict=True)
        )
        words = [_filled(word, places) for word in self._words]
        ended = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        said = ended.stdout.decode(errors="replace").strip()[-_SHOWN:]
        if ended.returncode:
            raise ModelError(f"--export_command ended with status {ended.returncode}: {_last_line(said)}")
        if not os.path.isdir(unfinished):
            raise ModelError(f"--export_command made no folder {unfinished}: {_last_line(said)}")
        os.rename(unfinished, folder)
        return folder


def _filled(word: str, places: dict[str, str]) -> str:
    for place, path in places.items():
        word = word.replace(place, path)
    return word


def _last_line(text: str) -> str:
    return text.splitlines()[-1] if text else "it said nothing"
