"""A job for Dataflow, as far as that goes without a network: options that it takes, the graph, what is staged."""

import pathlib
import re
import shlex
import tarfile

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, WorkerOptions
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner
from apache_beam.runners.portability.stager import Stager
from apache_beam.transforms import environments

from beam_jobs import infer, options
from od_core.label_map import LabelMap
from od_core.version import __version__
from pipelines.infer.job import InferJob
from pipelines.work import build
from tests.pipelines.toy_job import toy_work

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def documented_command() -> tuple[object, list[str]]:
    """The command for Dataflow in docs/runners.md: our options, and Beam's."""
    text = (REPOSITORY / "docs" / "runners.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"```\n(boxbeam infer [^`]*--runner DataflowRunner[^`]*)```", text)
    words = shlex.split(command.replace("\\\n", " "))
    return options.parse(infer._parser(), words[2:])


def test_dataflow_takes_the_documented_options() -> None:
    args, beam_options = documented_command()
    assert args.runner == "DataflowRunner"  # type: ignore[attr-defined]
    made = PipelineOptions(beam_options, runner="DataflowRunner")
    assert PipelineOptionsValidator(made, DataflowRunner()).validate() == []
    without = [option for option in beam_options if not option.startswith("--temp_location")]
    assert PipelineOptionsValidator(PipelineOptions(without), DataflowRunner()).validate()


def test_the_graph_names_the_container_and_every_transform(tmp_path: pathlib.Path) -> None:
    args, beam_options = documented_command()
    job = InferJob("gs://b/model", "0" * 64, LabelMap.of_names(["a"]))
    work = toy_work(list(args.input), args.output, job, isolation="none")  # type: ignore[attr-defined,arg-type]
    made = PipelineOptions(beam_options)
    image = made.view_as(WorkerOptions).sdk_container_image
    container = environments.DockerEnvironment.from_container_image(image)
    pipeline = beam.Pipeline(runner=DataflowRunner(), options=made)
    build(pipeline, work, spread=True)
    proto = pipeline.to_runner_api(default_environment=container)
    (environment,) = {one.payload for one in proto.components.environments.values() if "docker" in one.urn}
    assert f"boxbeam:{__version__}".encode() in environment
    names = {transform.unique_name for transform in proto.components.transforms.values()}
    assert {"PlanItems/Plan", "SpreadItems/Shuffle", "RunItems/Run"} <= names


def test_the_setup_file_packs_what_workers_need(tmp_path: pathlib.Path) -> None:
    made = PipelineOptions([f"--setup_file={REPOSITORY / 'setup.py'}"])
    Stager.create_job_resources(made, str(tmp_path))
    with tarfile.open(tmp_path / f"boxbeam-{__version__}.tar.gz") as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    ours = [path for package in ("beam_jobs", "od_core", "pipelines") for path in (REPOSITORY / package).rglob("*.py")]
    assert len(ours) > 200
    assert {path.relative_to(REPOSITORY).as_posix() for path in ours} <= names
    assert "od_core/harbour/frozen_inference_graph.pb" in names


def test_the_container_has_the_versions_of_ci() -> None:
    """Beam's container and Beam's package must be of one version."""
    (beam_version,) = re.findall(r"^apache-beam==(.*)$", (REPOSITORY / "requirements.txt").read_text(), re.MULTILINE)
    dockerfile = (REPOSITORY / "deploy" / "dataflow" / "Dockerfile").read_text()
    assert set(re.findall(r"beam_python3.11_sdk:(\S+)|apache-beam\[gcp\]==([\d.]+)", dockerfile)) == {
        (beam_version, ""),
        ("", beam_version),
    }
    assert f"boxbeam:{__version__}" in dockerfile
