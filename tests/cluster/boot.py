"""What a Flink TaskManager starts as a Python worker of Beam: asks its runner for the endpoints and becomes the worker.

    boot.py --id=1-1 --provision_endpoint=localhost:40123 …

This is what the boot program of Beam's Python container image does, less fetching staged files (there are none: the
repository is on the worker's path as a package installed in an image would be) and less restarting.
`WORKER_LOGS` names the folder for the worker's log.
"""

import argparse
import json
import os
import pathlib
import sys

import grpc  # type: ignore[import-untyped]
from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc, endpoints_pb2
from google.protobuf import json_format, text_format


def main() -> None:
    """Read the arguments the runner gives, and turn this process into the worker."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--id", required=True)
    parser.add_argument("--provision_endpoint", required=True)
    args, _ = parser.parse_known_args()  # endpoints also come as arguments; the provision service knows them better

    log = pathlib.Path(os.environ["WORKER_LOGS"], f"python-worker-{os.getpid()}.log")
    with log.open("wb") as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())

    with grpc.insecure_channel(args.provision_endpoint) as channel:
        service = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        # Every call to a worker's runner says which worker is calling.
        caller = [("worker_id", args.id)]
        info = service.GetProvisionInfo(beam_provision_api_pb2.GetProvisionInfoRequest(), metadata=caller).info

    env = {
        **os.environ,
        "WORKER_ID": args.id,
        "PIPELINE_OPTIONS": json.dumps(json_format.MessageToDict(info.pipeline_options)),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
        "PYTHONUNBUFFERED": "1",
    }
    endpoints: dict[str, endpoints_pb2.ApiServiceDescriptor] = {
        "CONTROL": info.control_endpoint,
        "LOGGING": info.logging_endpoint,
        "STATUS": info.status_endpoint,
    }
    for name, endpoint in endpoints.items():
        if endpoint.url:
            env[f"{name}_API_SERVICE_DESCRIPTOR"] = text_format.MessageToString(endpoint)
    # gRPC's threads die here; one of them may be caught complaining that it can start no other any more.
    os.execve(sys.executable, [sys.executable, "-m", "apache_beam.runners.worker.sdk_worker_main"], env)


if __name__ == "__main__":
    main()
