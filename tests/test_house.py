"""The rules of the house, checked: sizes, names, imports, errors and public names.

After a deliberate change of the public names run `python tests/test_house.py`: it writes tests/public_names.txt anew.
"""

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCE = REPOSITORY / "src" / "mallcore"
PUBLIC_NAMES = Path(__file__).with_name("public_names.txt")

LONGEST_FUNCTION = 40  # lines, without the docstring
LONGEST_FILE = 400
LONGEST_ADAPTER = 200
FORBIDDEN_MODULES = {"base", "common", "helpers", "manager", "misc", "service", "services", "util", "utils"}
FORBIDDEN_CLASSES = re.compile(r"^(Abstract|Base)(?=[A-Z]|$)|(Base|Impl|Manager)$")
OPTIONAL = {
    *("adlfs", "aiosqlite", "authlib", "fastapi", "flask", "graphql", "hypothesis", "joserfc", "limits"),
    *("psutil", "psycopg"),
    *("pytest", "redis", "rich", "s3fs", "starlette", "typer", "uvicorn"),
}
OPEN_ROOMS = ("adapters", "backends", "testing")  # packages whose modules are doors of their own


def files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        total -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return total


def doors() -> Iterator[tuple[str, Path]]:
    """The modules whose `__all__` is a promise: mallcore, each direct child, and each module of an open room."""
    for path in (
        *SOURCE.glob("*.py"),
        *SOURCE.glob("*/__init__.py"),
        *(p for r in OPEN_ROOMS for p in SOURCE.glob(f"{r}/*.py")),
    ):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), path


def names(path: Path) -> list[str] | None:
    """What the file lists in `__all__`, or None when it has none."""
    for statement in parsed(path).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return list(ast.literal_eval(statement.value))  # type: ignore[attr-defined]
    return None


def public_names() -> list[str]:
    return sorted({f"{door}.{name}" for door, path in doors() for name in names(path) or ()})


def in_order(listed: list[str]) -> list[str]:
    """Sorted as ruff sorts `__all__`: constants, then classes, then the rest."""
    return sorted(listed, key=lambda name: (0 if name.isupper() else 1 if name[:1].isupper() else 2, name))


def imported_by(statement: str) -> set[str]:
    program = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_functions_are_small() -> None:
    """No function is longer than 40 lines without its docstring."""
    long = {
        f"{relative(path)}:{node.lineno} {node.name}": length(node)
        for path in files()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and length(node) > LONGEST_FUNCTION
    }
    assert long == {}


def test_files_are_small() -> None:
    """No file is longer than 400 lines, no adapter longer than 200."""
    long = {}
    for path in files():
        limit = LONGEST_ADAPTER if path.is_relative_to(SOURCE / "adapters") else LONGEST_FILE
        lines = path.read_text(encoding="utf-8").count("\n")
        if lines > limit:
            long[relative(path)] = lines
    assert long == {}


def test_names_say_what_is_inside() -> None:
    """No module or class has a name that predicts nothing."""
    modules = [relative(path) for path in SOURCE.rglob("*") if path.stem in FORBIDDEN_MODULES]
    classes = [
        f"{relative(path)}:{node.lineno} {node.name}"
        for path in files()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ClassDef) and FORBIDDEN_CLASSES.search(node.name)
    ]
    assert modules + classes == []


def test_every_module_says_what_belongs_there() -> None:
    """Each module begins with a docstring."""
    assert [relative(path) for path in files() if not ast.get_docstring(parsed(path))] == []


def test_importing_mallcore_imports_nothing_optional() -> None:
    """`import mallcore` works, and is quick, where no extra is installed."""
    assert {name.partition(".")[0] for name in imported_by("import mallcore")} & OPTIONAL == set()


def test_the_pytest_plugin_is_light() -> None:
    """The plug-in is loaded in every run of every project: it imports no server, no driver and no kit."""
    loaded = imported_by("import mallcore.testing.plugin")
    assert {name.partition(".")[0] for name in loaded} & (OPTIONAL - {"pytest"}) == set()
    assert [name for name in loaded if name.startswith("mallcore.testing.")] == ["mallcore.testing.plugin"]


def test_every_error_has_a_message_and_a_code_of_its_own() -> None:
    """Each error has a docstring, which is its message, a unique stable code, and a place in the drawn tree."""
    errors = importlib.import_module("mallcore.errors")
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.MallError)]
    assert [kind.__name__ for kind in kinds if not kind.__dict__.get("__doc__")] == []
    assert [kind.__name__ for kind in kinds if "code" not in kind.__dict__] == []
    assert [code for code, times in Counter(kind.code for kind in kinds).items() if times > 1] == []
    assert [kind.code for kind in kinds if not re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.code)] == []
    drawn = set(re.findall(r"\w+", errors.__doc__))
    assert [kind.__name__ for kind in kinds if kind.__name__ not in drawn] == []


def test_public_names_are_sorted() -> None:
    """Each `__all__` is sorted and names nothing twice."""
    listed = {door: found for door, path in doors() if (found := names(path)) is not None}
    assert {door: found for door, found in listed.items() if found != in_order(list(dict.fromkeys(found)))} == {}


@pytest.mark.parametrize("door", [door for door, path in doors() if names(path) is not None])
def test_public_names_exist(door: str) -> None:
    """What a door lists is there."""
    try:
        module = importlib.import_module(door)
    except ImportError as error:
        pytest.skip(f"{door}: {error}")
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_public_names_are_the_promised_ones() -> None:
    """A change of the public names is visible in review: `python tests/test_house.py` writes the list anew."""
    promised = PUBLIC_NAMES.read_text(encoding="utf-8").split()
    found = public_names()
    assert {"new": sorted(set(found) - set(promised)), "gone": sorted(set(promised) - set(found))} == {
        "new": [],
        "gone": [],
    }


def test_domain_packages_are_in_both_import_contracts() -> None:
    """The contract on layers and the one on the inner shape name the same packages (api has a shape of its own)."""
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    house, shape, *_ = settings["tool"]["importlinter"]["contracts"]
    layers = [set(re.findall(r"\w+", layer)) for layer in house["layers"]]
    (domain,) = [layer for layer in layers if "structure" in layer]
    assert domain - {"api"} == {container.removeprefix("mallcore.") for container in shape["containers"]}


if __name__ == "__main__":
    PUBLIC_NAMES.write_text("".join(f"{name}\n" for name in public_names()), encoding="utf-8")
