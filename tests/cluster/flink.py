"""A real Flink cluster on this machine: a JobManager, two TaskManagers, and Beam's job server in front of them."""

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from .commands import commits_by_process
from .java import java_program
from .places import PYTHON_PATH
from .processes import free_ports, listens, running, wait_until

TASK_MANAGERS = 2  # of one slot each

# Without it every stage of a job starts its Python workers anew. With it a TaskManager takes a worker that died for
# alive, and the job fails: not for tests of faults.
KEEP_WORKERS = "--environment_cache_millis=60000"


@dataclasses.dataclass
class FlinkCluster:
    """A running cluster.

    Attributes:
        options: the pipeline options that run a job on it.
        witness: the folder in which its Python workers note what they commit; see witness/sitecustomize.py.
        task_managers: the running ones, each the leader of a process group that holds its Python workers.
        start_task_manager: starts one more; returns when the cluster has as many slots as it should.
    """

    options: list[str]
    witness: pathlib.Path
    task_managers: list[subprocess.Popen[bytes]]
    start_task_manager: Callable[[], None]

    def logs(self) -> list[pathlib.Path]:
        """What its programs, and its Python workers, have written so far."""
        return sorted(self.witness.parent.glob("*.log"))

    def hold(self, place: pathlib.Path, *, free: int = 1) -> pathlib.Path:
        """Let each Python worker commit `free` files below `place`; then it stands until the returned file is gone."""
        gate = self.witness / "gate"
        self.witness.mkdir(exist_ok=True)
        gate.write_text(f"{free}\n{place}/", encoding="utf-8")
        return gate

    def waiting(self) -> set[int]:
        """The Python workers that stand, or stood, before a file they were not to commit, and still run."""
        pids = {int(note.stem.partition("-")[2]) for note in self.witness.glob("*.waiting")}
        return {pid for pid in pids if _runs(pid, "sdk_worker_main")}

    def kill_task_manager(self) -> None:
        """SIGKILL for the oldest TaskManager and its Python workers, as when a machine is lost; `start` another one."""
        process = self.task_managers.pop(0)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def kill_python_worker(self, output: pathlib.Path) -> None:
        """SIGKILL for a Python worker that has committed something to `output`; its TaskManager lives on."""
        made = {pid for pid, paths in commits_by_process(self.witness).items() if any(_below(output, p) for p in paths)}
        os.kill(next(pid for pid in made if _runs(pid, "sdk_worker_main")), signal.SIGKILL)


@contextlib.contextmanager
def flink_cluster(class_path: Sequence[pathlib.Path], *, java: str, folder: pathlib.Path) -> Iterator[FlinkCluster]:
    """A cluster of `TASK_MANAGERS` TaskManagers for as long as the block lasts.

    The Python code of a job runs in processes that the TaskManagers start through `boot.py`, never in the launcher.

    Args:
        class_path: Flink and Beam's runner, for the cluster and the job server alike.
        java: the program, version 11 or 17.
        folder: an empty folder for the settings, the temporary files and, as `*.log`, the logs.

    Raises:
        ProcessError: a part of it did not come up.
    """
    rpc_port, rest_port, job_port = free_ports(3)
    temporary, witness = folder / "tmp", folder / "witness"
    temporary.mkdir()
    (folder / "conf").mkdir()
    (folder / "conf" / "config.yaml").write_text(_config(rpc_port, rest_port, temporary))
    flink, flink_arguments = "org.apache.flink.runtime", ("--configDir", str(folder / "conf"))
    programs = {
        "jobmanager": (f"{flink}.entrypoint.StandaloneSessionClusterEntrypoint", *flink_arguments),
        "taskmanager": (f"{flink}.taskexecutor.TaskManagerRunner", *flink_arguments),
        "jobserver": (
            "org.apache.beam.runners.flink.FlinkJobServerDriver",
            f"--flink-master=localhost:{rest_port}",
            "--job-host=localhost",
            f"--job-port={job_port}",
            "--artifact-port=0",
            "--expansion-port=0",
            f"--artifacts-dir={temporary / 'artifacts'}",
        ),
    }
    jvm = java_program(java, class_path, folder)
    with contextlib.ExitStack() as stack:

        def start(name: str, log_name: str = "") -> tuple[subprocess.Popen[bytes], pathlib.Path]:
            log = folder / f"{log_name or name}.log"
            return stack.enter_context(running([*jvm, *programs[name]], log=log, folder=temporary)), log

        def wait(started: tuple[subprocess.Popen[bytes], pathlib.Path], ready: Callable[[], bool], words: str) -> None:
            process, log = started
            wait_until(ready, process, what=f"Flink's {log.stem}, to {words}", log=log)

        task_managers: list[subprocess.Popen[bytes]] = []
        numbers = itertools.count(1)

        def start_task_manager() -> None:
            started = start("taskmanager", f"taskmanager-{next(numbers)}")
            task_managers.append(started[0])
            slots = len(task_managers)
            wait(started, lambda: _overview(rest_port).get("slots-total") == slots, f"make it {slots} slots")

        job_manager, job_server = start("jobmanager"), start("jobserver")
        # A TaskManager that finds no JobManager waits ten seconds before it looks again.
        wait(job_manager, lambda: "slots-total" in _overview(rest_port), "answer on its REST port")
        for _ in range(TASK_MANAGERS):
            start_task_manager()
        wait(job_server, lambda: listens(job_port), "listen on its port")
        nothing = folder / "nothing.jar"
        zipfile.ZipFile(nothing, "w").close()
        options = [
            "--runner=FlinkRunner",
            f"--job_endpoint=localhost:{job_port}",
            f"--flink_master=localhost:{rest_port}",
            f"--parallelism={TASK_MANAGERS}",
            "--environment_type=PROCESS",
            f"--environment_config={json.dumps({'command': str(_boot_program(folder, witness))})}",
            # In place of the job server's whole class path, which the cluster has already: half of a small job's time.
            f"--files_to_stage={nothing}",
            "--sdk_worker_parallelism=1",
        ]
        yield FlinkCluster(options, witness, task_managers, start_task_manager)


def _config(rpc_port: int, rest_port: int, temporary: pathlib.Path) -> str:
    """Flink's `config.yaml`.

    The memory sizes are all given because the shell scripts that work them out are not in the wheel.
    """
    settings: Mapping[str, str | int] = {
        "jobmanager.rpc.address": "localhost",
        "jobmanager.rpc.port": rpc_port,
        "jobmanager.bind-host": "localhost",
        "rest.address": "localhost",
        "rest.bind-address": "localhost",
        "rest.port": rest_port,
        "taskmanager.host": "localhost",
        "taskmanager.bind-host": "localhost",
        "taskmanager.numberOfTaskSlots": 1,
        "taskmanager.cpu.cores": 1,
        "taskmanager.memory.framework.heap.size": "128m",
        "taskmanager.memory.task.heap.size": "256m",
        "taskmanager.memory.framework.off-heap.size": "128m",
        "taskmanager.memory.task.off-heap.size": "64m",
        "taskmanager.memory.network.min": "64m",
        "taskmanager.memory.network.max": "64m",
        "taskmanager.memory.managed.size": "128m",
        "taskmanager.memory.jvm-metaspace.size": "256m",
        "taskmanager.memory.jvm-overhead.min": "192m",
        "taskmanager.memory.jvm-overhead.max": "192m",
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": 5,
        "restart-strategy.fixed-delay.delay": "2 s",
        # A TaskManager that was killed is missed after some seconds, not a minute.
        "heartbeat.interval": 1000,
        "heartbeat.timeout": 8000,
        # The job server sends its class path along with every job; the cluster has it already.
        "classloader.resolve-order": "parent-first",
        "io.tmp.dirs": str(temporary),
        "blob.storage.directory": str(temporary / "blobs"),
    }
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in settings.items())


def _boot_program(folder: pathlib.Path, witness: pathlib.Path) -> pathlib.Path:
    """An executable that runs boot.py with this interpreter: Beam's PROCESS environment takes one word."""
    # Not the current folder first: it might hold a `pipelines` of its own.
    variables = {"PYTHONPATH": PYTHON_PATH, "PYTHONSAFEPATH": 1, "WITNESS": witness, "WORKER_LOGS": folder}
    boot, program = pathlib.Path(__file__).with_name("boot.py"), folder / "boot"
    program.write_text(
        "#!/bin/sh\n"
        + "".join(f"export {name}={shlex.quote(str(value))}\n" for name, value in variables.items())
        + f'exec {shlex.quote(sys.executable)} {shlex.quote(str(boot))} "$@"\n'
    )
    program.chmod(0o755)
    return program


def _overview(rest_port: int) -> dict[str, Any]:
    """Flink's own count of its TaskManagers, slots and jobs; empty while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://localhost:{rest_port}/overview", timeout=5) as answer:
            return dict(json.load(answer))
    except OSError:
        return {}


def _below(folder: pathlib.Path, path: str) -> bool:
    return path.startswith(f"{folder}/")


def _runs(pid: int, module: str) -> bool:
    try:
        return module.encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return False
