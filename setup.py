"""boxbeam's packages and the ranges of what it needs; `--setup_file` ships this to the workers of a cluster."""

import pathlib

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
VERSION: dict[str, str] = {}
exec((HERE / "od_core" / "version.py").read_text(encoding="utf-8"), VERSION)

setup(
    name="boxbeam",
    version=VERSION["__version__"],
    description="Bulk object detection over images and videos, on Apache Beam and TensorFlow",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["beam_jobs", "od_core", "od_core.*", "pipelines", "pipelines.*"]),
    package_data={
        **{package: ["py.typed"] for package in ("beam_jobs", "od_core", "pipelines")},
        "od_core.review": ["pages/*"],
        "od_core.harbour": ["frozen_inference_graph.pb", "label_map.pbtxt"],
    },
    install_requires=[
        "tensorflow>=2.16,<3",
        "apache-beam>=2.77,<3",
        "google-crc32c>=1.5,<2",
        "PyYAML>=6",
        "pyarrow>=20",
        "numpy>=2.0,<3",
        "pillow>=11.3",
        "opencv-python-headless>=5",
        "av>=18",
        "hotcoco>=1.3,<2",
        "defusedxml>=0.7",
        "protobuf>=5.28",
        "tqdm>=4.66",
    ],
    extras_require={
        "aws": ["boto3>=1.34"],
        "gcp": ["google-cloud-storage>=2.18"],
        "hdfs": ["hdfs>=2.1,<3"],
        "azure": ["apache-beam[azure]"],
    },
    entry_points={"console_scripts": ["boxbeam = beam_jobs.cli:main"]},
)
