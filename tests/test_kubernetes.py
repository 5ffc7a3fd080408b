"""The Kubernetes example: what it says fits together, and boxbeam takes the command line in it."""

import pathlib
from typing import Any

import pytest
import yaml

from beam_jobs import infer, options

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "deploy" / "kubernetes"


@pytest.fixture(scope="module")
def kinds() -> dict[str, Any]:
    """Every object of the example, by its kind."""
    found = [one for path in sorted(FOLDER.glob("*.yaml")) for one in yaml.safe_load_all(path.read_text())]
    assert len({one["kind"] for one in found}) == len(found) == 4
    return {one["kind"]: one for one in found}


@pytest.fixture(scope="module")
def launcher(kinds: dict[str, Any]) -> dict[str, Any]:
    (container,) = kinds["Job"]["spec"]["template"]["spec"]["containers"]
    return container


@pytest.fixture(scope="module")
def workers(kinds: dict[str, Any]) -> dict[str, Any]:
    containers = kinds["FlinkDeployment"]["spec"]["taskManager"]["podTemplate"]["spec"]["containers"]
    assert containers[0] == {"name": "flink-main-container"}
    return containers[1]


@pytest.fixture(scope="module")
def command_line(launcher: dict[str, Any]) -> dict[str, str]:
    """The launcher's options, as boxbeam itself sorts them: it refuses what neither it nor Beam knows."""
    assert (launcher["command"], launcher["args"][0]) == (["boxbeam"], "infer")
    args, beam_options = options.parse(infer._parser(), launcher["args"][1:])
    beam = dict(option.removeprefix("--").split("=", 1) for option in beam_options)
    return {**vars(args), **beam}


def test_the_command_line_is_one_that_boxbeam_takes(command_line: dict[str, Any]) -> None:
    assert command_line["runner"] == "PortableRunner"
    assert command_line["input"] == ["s3://BUCKET/clips"]
    assert command_line["environment_type"] == "EXTERNAL"


def test_it_reaches_the_job_server_and_that_reaches_flink(kinds: dict[str, Any], command_line: dict[str, Any]) -> None:
    service, server = kinds["Service"], kinds["Deployment"]["spec"]["template"]
    ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
    name = service["metadata"]["name"]
    assert command_line["job_endpoint"] == f"{name}:{ports['job']}"
    assert command_line["artifact_endpoint"] == f"{name}:{ports['artifact']}"
    assert service["spec"]["selector"].items() <= server["metadata"]["labels"].items()
    (container,) = server["spec"]["containers"]
    arguments = dict(argument.removeprefix("--").split("=") for argument in container["args"])
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == ports
    assert (arguments["job-port"], arguments["artifact-port"]) == (str(ports["job"]), str(ports["artifact"]))
    assert arguments["flink-master"] == f"{kinds['FlinkDeployment']['metadata']['name']}-rest:8081"


def test_every_slot_has_a_worker_of_its_own_with_threads_for_its_cores(
    kinds: dict[str, Any], workers: dict[str, Any], command_line: dict[str, Any]
) -> None:
    cluster = kinds["FlinkDeployment"]["spec"]
    slots = int(cluster["flinkConfiguration"]["taskmanager.numberOfTaskSlots"])
    assert slots == 1, "a Python worker does one item at a time"
    assert int(command_line["parallelism"]) == cluster["taskManager"]["replicas"] * slots
    assert command_line["environment_config"] == f"localhost:{workers['ports'][0]['containerPort']}"
    assert command_line["workers"] == int(workers["resources"]["requests"]["cpu"])


def test_launcher_and_workers_run_the_same_image_with_the_same_secret(
    launcher: dict[str, Any], workers: dict[str, Any]
) -> None:
    assert launcher["image"] == workers["image"]
    assert launcher["envFrom"] == workers["envFrom"]


def test_flink_is_the_version_of_the_job_server(kinds: dict[str, Any]) -> None:
    image = kinds["Deployment"]["spec"]["template"]["spec"]["containers"][0]["image"]
    cluster = kinds["FlinkDeployment"]["spec"]
    version = cluster["image"].removeprefix("flink:")
    assert cluster["flinkVersion"] == f"v{version.replace('.', '_')}"
    requirements = (FOLDER.parents[1] / "requirements.txt").read_text().splitlines()
    (beam,) = [line.removeprefix("apache-beam==") for line in requirements if line.startswith("apache-beam==")]
    assert image == f"apache/beam_flink{version}_job_server:{beam}"
