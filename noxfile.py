"""The sessions of mallcore; their names are the names of the checks. Bare `nox` runs all that must pass."""

import os
import shutil
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "contracts", "types", "tests", "backends", "docs", "examples", "wheel"]
nox.options.reuse_venv = "yes"
nox.options.stop_on_first_error = False

PROJECT = nox.project.load_toml("pyproject.toml")
QUICK = "not proof and not postgres and not objects"
WORKERS = str((os.cpu_count() or 1) + 1)  # tests wait for servers and other processes about as long as they compute


def install(session: nox.Session, *groups: str, package: tuple[str, ...] = ("-e", ".[all]")) -> None:
    """Install mallcore and the named dependency groups of pyproject.toml in one resolution."""
    session.install(*package, *nox.project.dependency_groups(PROJECT, *groups))


@nox.session
def lint(session: nox.Session) -> None:
    """Style and layout (ruff)."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def contracts(session: nox.Session) -> None:
    """Imports flow one way (import-linter); no dependency of mallcore is needed to see that."""
    session.install(*nox.project.dependency_groups(PROJECT, "contracts"))
    session.install("--no-deps", "-e", ".")
    session.run("lint-imports", "--no-cache")


@nox.session
def types(session: nox.Session) -> None:
    """mypy strict and pyright, on src and tests/typing."""
    install(session, "types")
    session.run("mypy", *(["src", "tests/typing"] if Path("tests/typing").is_dir() else ["src"]))
    session.run("pyright")


@nox.session
def tests(session: nox.Session) -> None:
    """Everything that runs on SQLite and local files."""
    install(session, "tests")
    session.run("pytest", "-n", WORKERS, "-m", QUICK, *session.posargs)


@nox.session
def backends(session: nox.Session) -> None:
    """What needs a real server: PostgreSQL (or MALLCORE_TEST_POSTGRES), SeaweedFS, Azurite."""
    install(session, "tests")
    session.run("pytest", "-n", WORKERS, "-m", "(postgres or objects) and not proof", *session.posargs)


@nox.session
def proofs(session: nox.Session) -> None:
    """The long forms of state machines and crash tests, on every database. Not in the default list."""
    install(session, "tests")
    long = {"MALLCORE_PROOFS": "1"}  # what has a short form in the default sessions is long here
    session.run("pytest", "-m", "proof", *session.posargs, env=long)
    session.run("pytest", "-m", "not proof", "tests/proofs", "tests/structure", *session.posargs, env=long)


@nox.session
def bench(session: nox.Session) -> None:
    """Every benchmark in its short form; `nox -s bench -- full` takes half an hour. Not in the default list."""
    install(session, "bench")
    quick = () if "full" in session.posargs else ("--quick",)
    for name in ("structure", "visibility", "objects", "links", "graphql", "versions", "load.http"):
        session.run("python", "-m", f"benchmarks.{name}", *quick)
    session.run("python", "-m", "benchmarks.sizes", *((*quick, "--sizes", "100,1000,10000") if quick else ()))
    session.run("python", "-m", "benchmarks.load.zero_downtime", "--seconds", "5" if quick else "60")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation builds without a warning; its blocks are run by the session tests."""
    install(session, "docs")
    session.run("sphinx-build", "-W", "-n", "--keep-going", "-E", "-b", "html", "docs", "docs/_build/html")


@nox.session
def examples(session: nox.Session) -> None:
    """Every script in examples/ runs to its end in an empty folder."""
    scripts = sorted(Path("examples").resolve().glob("*.py"))
    if not scripts:
        session.skip("there is no script in examples/ yet")
    install(session, "tests")
    for script in scripts:
        with tempfile.TemporaryDirectory(prefix=f"{script.stem}-") as folder, session.chdir(folder):
            session.run("python", "-W", "error", str(script))


@nox.session
def wheel(session: nox.Session) -> None:
    """The built wheel, installed with [all] in a clean environment: nothing was left out of it, and its faces work."""
    folder = Path(session.create_tmp()) / "wheel"
    shutil.rmtree(folder, ignore_errors=True)
    session.run("pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), ".")
    (built,) = folder.glob("mallcore-*.whl")
    session.install("--force-reinstall", "--no-deps", str(built))
    install(session, "tests", package=(f"mallcore[all] @ {built.resolve().as_uri()}",))
    session.run("python", "-I", "-c", "import mallcore; assert 'site-packages' in mallcore.__file__, mallcore.__file__")
    # All quick tests ran against the sources; what a wheel can lack is seen by these.
    whole = ("tests/cli/test_demo.py", "tests/adapters/test_faces.py")
    session.run("pytest", "-n", WORKERS, "-m", QUICK, *(session.posargs or whole))
