"""Start the Flink cluster and the S3 server by hand, and keep them until Ctrl-C.

    PYTHONPATH=tests python -m cluster

prints the options to put behind a boxbeam command.
"""

import pathlib
import shlex
import signal
import tempfile

from .fetch import flink_class_path, s3_gateway, tool
from .flink import flink_cluster
from .places import CACHE
from .s3 import s3_server


def main() -> None:
    """Run both until the user has had enough."""
    java = tool("java", package="openjdk-17-jre-headless", purpose="run Flink")
    class_path, program = flink_class_path(CACHE, print), s3_gateway(CACHE, print)
    with tempfile.TemporaryDirectory(prefix="boxbeam-cluster-") as scratch:
        flink_folder, s3_folder = pathlib.Path(scratch, "flink"), pathlib.Path(scratch, "s3")
        flink_folder.mkdir()
        s3_folder.mkdir()
        with (
            s3_server(program, folder=s3_folder) as s3,
            flink_cluster(class_path, java=java, folder=flink_folder) as flink,
        ):
            print(f"logs: {scratch}, until this ends")
            print(f"to run on Flink:\n  {shlex.join(flink.options)}")
            print(f"to reach s3://{s3.new_bucket()}/:\n  {shlex.join(s3.options)}")
            print("Ctrl-C ends both.", flush=True)
            signal.pause()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print()
