"""Where a model runs: on the device that was named, or not at all."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from od_core.errors import UsageError
from od_core.model.detector import open_detector
from tests.od_core.model.model_exports import colours_in, drawn, frozen_graph

IMAGE = drawn((1, 5, 10, 25, 50))


@pytest.fixture
def configs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Two GPUs as TensorFlow would list them, and the configuration of every Session that is opened; opened without."""
    seen: list[Any] = []
    real = tf.compat.v1.Session

    def session(graph: Any, config: Any) -> Any:
        seen.append(tf.compat.v1.ConfigProto.FromString(config.SerializeToString()))
        config.gpu_options.Clear()
        return real(graph=graph, config=config)

    monkeypatch.setattr(
        tf.config, "list_physical_devices", lambda kind: [f"/physical_device:{kind}:{n}" for n in (0, 1)]
    )
    monkeypatch.setattr(tf.compat.v1, "Session", session)
    return seen


def test_a_gpu_is_the_only_one_that_its_session_sees_and_memory_grows(tmp_path: Path, configs: list[Any]) -> None:
    path = frozen_graph(tmp_path / "m.pb")
    for device in ("gpu:1", "cpu", None):
        detector = open_detector(path, device=device)
        assert detector.detect(IMAGE[None]) == [colours_in(IMAGE)]
        detector.close()
    first, second, third = configs
    assert (first.gpu_options.visible_device_list, first.gpu_options.allow_growth) == ("1", True)
    assert (second.device_count["GPU"], second.gpu_options.visible_device_list) == (0, "")
    assert "GPU" not in third.device_count
    assert third.gpu_options.allow_growth


@pytest.mark.parametrize("device", ["gpu:2", "gpu:00", "tpu:0"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(
    tmp_path: Path, configs: list[Any], device: str
) -> None:
    with pytest.raises(UsageError, match=f"no device '{device}' here; it has cpu, gpu:0, gpu:1"):
        open_detector(frozen_graph(tmp_path / "m.pb"), device=device)
    assert configs == []


CLAIM = "from pipelines.infer.devices import claimed_device; print(claimed_device({devices}), flush=True); input()"


def test_processes_share_out_the_gpus_and_one_that_ends_frees_its_own() -> None:
    def claim() -> "subprocess.Popen[str]":
        devices = ["gpu:9001", "gpu:9002"]  # of no machine: the names are seen by everything on this one
        command = [sys.executable, "-c", CLAIM.format(devices=devices)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def answer(process: "subprocess.Popen[str]") -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()

    processes = [claim()]
    try:
        assert answer(processes[0]) == "gpu:9001"
        processes.append(claim())
        assert answer(processes[1]) == "gpu:9002"
        processes[0].kill()
        processes[0].wait()
        processes.append(claim())
        assert answer(processes[2]) == "gpu:9001"
        processes.append(claim())
        assert answer(processes[3]) == "gpu:9001"  # all taken: shared
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_a_single_device_needs_no_claim() -> None:
    from pipelines.infer.devices import claimed_device

    assert [claimed_device(()), claimed_device(("cpu",)), claimed_device(("gpu:3",))] == [None, "cpu", "gpu:3"]
