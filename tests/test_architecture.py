"""Dependencies point one way, heavy libraries are imported late, and the release notes belong to the release."""

import ast
import functools
import json
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from beam_jobs.cli import JOBS
from od_core.version import __version__

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ("od_core", "pipelines", "beam_jobs")
HEAVY = {"numpy", "pyarrow", "apache_beam", "tensorflow", "av", "cv2", "PIL"}
# What each package must not import, at the top of a module or within a function.
FORBIDDEN = {
    "od_core": {"apache_beam", "pipelines", "beam_jobs", "argparse", "tests"},
    "pipelines": {"beam_jobs", "argparse", "tests"},
    "beam_jobs": {"tests"},
}


def modules_of(*packages: str) -> list[str]:
    """Dotted names of every module, those of sub-packages included."""
    files = [path for package in packages for path in sorted((REPOSITORY / package).rglob("*.py"))]
    names = [".".join(path.relative_to(REPOSITORY).with_suffix("").parts) for path in files]
    return [name.removesuffix(".__init__") for name in names]


@functools.cache
def parsed(module: str) -> ast.Module:
    path = REPOSITORY.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def import_statements(module: str) -> Iterator[ast.Import | ast.ImportFrom]:
    return (node for node in ast.walk(parsed(module)) if isinstance(node, ast.Import | ast.ImportFrom))


def imported(module: str) -> set[str]:
    """Dotted names that a module imports anywhere, in functions and under TYPE_CHECKING too."""
    names: set[str] = set()
    for node in import_statements(module):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        else:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def loaded_after(code: str) -> set[str]:
    """Top-level names in sys.modules of a fresh interpreter that ran `code` in the repository."""
    probe = f"""
import contextlib, io, json, sys
sys.path.insert(0, {str(REPOSITORY)!r})
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    {code}
print(json.dumps(sorted({{name.split(".")[0] for name in sys.modules}})))
"""
    run = subprocess.run([sys.executable, "-P", "-c", probe], capture_output=True, text=True, cwd="/")
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout))


def test_the_packages_are_found() -> None:
    assert {"od_core.storage", "pipelines.work", "beam_jobs.cli", "pipelines"} <= set(modules_of(*PACKAGES))


@pytest.mark.parametrize("package", PACKAGES)
def test_dependencies_point_one_way(package: str) -> None:
    wrong = {
        module: found
        for module in modules_of(package)
        if (found := {name for name in imported(module) if name.split(".")[0] in FORBIDDEN[package]})
    }
    assert wrong == {}


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports at the top of modules only: those in functions may point back, that is what they are for."""
    modules = set(modules_of(*PACKAGES))
    top = {module: {name for name in _at_the_top(module) if name in modules} for module in modules}
    while leaves := {module for module, needs in top.items() if not needs & top.keys()}:
        top = {module: needs for module, needs in top.items() if module not in leaves}
    assert top == {}


def _at_the_top(module: str) -> Iterator[str]:
    for node in parsed(module).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (name for alias in node.names for name in (f"{node.module}.{alias.name}", str(node.module)))


@pytest.mark.parametrize("package", PACKAGES)
def test_no_relative_and_no_star_imports(package: str) -> None:
    statements = [(module, node) for module in modules_of(package) for node in import_statements(module)]
    froms = [(module, node) for module, node in statements if isinstance(node, ast.ImportFrom)]
    assert froms
    assert [module for module, node in froms if node.level or any(alias.name == "*" for alias in node.names)] == []


def test_beam_can_read_the_type_hints_of_pipelines() -> None:
    """With `from __future__ import annotations` Beam takes every hint for Any, and wrong input fails on a worker."""
    assert [name for name in modules_of("pipelines") if "__future__.annotations" in imported(name)] == []


def test_importing_the_core_loads_neither_beam_nor_tensorflow() -> None:
    modules = modules_of("od_core")
    found = loaded_after(f"import {', '.join(modules)}")
    assert "od_core" in found
    assert found & {"apache_beam", "tensorflow", "pipelines", "beam_jobs"} == set()


def test_item_processes_load_neither_beam_nor_the_command_line() -> None:
    """They are started for every crash: Beam would cost each of them seconds and a hundred megabytes."""
    jobs = [
        name for name in modules_of("pipelines") if re.fullmatch(r"pipelines\.(convert|infer|render)(\.\w+)?", name)
    ]
    assert {"pipelines.convert.worker", "pipelines.infer.worker", "pipelines.render.worker"} <= set(jobs)
    found = loaded_after(f"import pipelines.item_process, {', '.join(jobs)}")
    assert "pipelines" in found
    assert found & {"apache_beam", "beam_jobs", "tensorflow"} == set()


@pytest.mark.parametrize("arguments", [[], ["--version"], *([job, "--help"] for job in JOBS)], ids=" ".join)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    """That is what makes it answer at once."""
    found = loaded_after(f"import beam_jobs.cli; beam_jobs.cli.main({arguments!r})")
    assert "beam_jobs" in found
    assert found & HEAVY == set()


@pytest.mark.parametrize("job", JOBS)
def test_every_job_runs_as_a_module_of_its_own(job: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", f"beam_jobs.{job}", "--help"], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith(f"usage: boxbeam {job}")


def test_the_changelog_begins_with_this_version() -> None:
    headings = re.findall(r"^## (.*)$", (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    version, date = headings[0].split(" - ")
    assert version == __version__
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", date)


def test_the_container_images_of_the_docs_are_of_this_version() -> None:
    pages = [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md"), *(REPOSITORY / "deploy").glob("*/*")]
    named = {tag for page in pages for tag in re.findall(r"/boxbeam:([0-9][0-9A-Za-z.]*)", page.read_text("utf-8"))}
    assert named == {__version__}


def test_nothing_that_is_read_as_data_is_a_pickle() -> None:
    """Pickles run code when they are read: only Beam's own transport and a process's own temporary files are."""
    users = {
        module for module in modules_of(*PACKAGES) if imported(module) & {"pickle", "cloudpickle", "dill", "shelve"}
    }
    assert users == {"pipelines.evaluate.graph", "pipelines.spool"}
    loads = [module for module in modules_of(*PACKAGES) if "allow_pickle" in ast.dump(parsed(module))]
    assert loads == []
