"""The shape of the house: which way the arrows run, and how large the rooms are."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import REPOSITORY, cpu_seconds

from sle_gan.cli.main import COMMANDS

PACKAGE = REPOSITORY / "sle_gan"
FILES = sorted(PACKAGE.rglob("*.py"))
# A layer may import those to its right and itself; whatever is not named (errors, storage, config) is a leaf.
LAYERS = [
    "cli", "search", "training", "metrics", "gans", "export", "features", "hub", "generation", "translation", "convert",
    "models", "losses", "augment", "engine", "runs",
]  # fmt: skip
# A GAN's folder has files of several layers. These need no backend; what is not named here is of the layer gans.
LEAVES = {"__init__", "description", "config", "kernels", "widths"}
ROLES = {
    **dict.fromkeys(("networks", "generator", "discriminator", "layers"), "models"),
    **dict.fromkeys(("fastgan_names", "from_fastgan", "to_fastgan", "huggan", "huggan_names"), "convert"),
}


def layer_of(parts: tuple[str, ...]) -> str | None:
    """The layer of a module, by the parts of its path within the package; None for a leaf."""
    if parts[0] != "gans":
        return parts[0] if parts[0] in LAYERS else None
    if len(parts) > 2 and (PACKAGE / "gans" / parts[1]).is_dir():
        return None if parts[2] in LEAVES else ROLES.get(parts[2], "gans")
    return None if len(parts) == 1 or parts[1] in LEAVES else "gans"


def modules(path: Path) -> Iterator[tuple[str, ...]]:
    """The modules of this package that a file imports, by their parts within it."""
    for name in imports(path):
        yield from module_of(name)


def module_of(name: str) -> Iterator[tuple[str, ...]]:
    """The parts of a module of this package within it, by the name of the module or of something in it; or nothing."""
    parts = name.split(".")
    while parts[0] == "sle_gan" and len(parts) > 1:
        place = PACKAGE.joinpath(*parts[1:])
        if place.is_dir() or place.with_suffix(".py").exists():
            yield tuple(parts[1:])
            return
        parts.pop()


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_engine_knows_a_framework(path: Path) -> None:
    if "engine" not in path.parts:
        frameworks = {name.split(".")[0] for name in imports(path)} & {"tensorflow", "jax", "jaxlib"}
        assert not frameworks


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_run_one_way(path: Path) -> None:
    layer = layer_of(path.relative_to(PACKAGE).with_suffix("").parts)
    if layer is None:
        return
    allowed = {None, *LAYERS[LAYERS.index(layer) :]}
    for module in modules(path):
        assert layer_of(module) in allowed, f"{layer} imports {'.'.join(module)}"


def test_what_a_gan_says_about_itself_needs_no_backend() -> None:
    code = (
        "import sys; from sle_gan.gans import GANS; from sle_gan.kernels import arguments\n"
        "names = [name for each in GANS.values() for name in each.networks]; [arguments(name) for name in names]\n"
        "print(*names); sys.exit(any(name in sys.modules for name in ('keras', 'tensorflow', 'jax', 'torch')))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0 and "DCGANGenerator" in result.stdout, result.stderr


def module_level_imports(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Those that run with the module, and those for type checkers: everything outside functions."""
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for part in ("body", "orelse", "handlers", "finalbody"):
                yield from module_level_imports(getattr(node, part, []))


def import_graph(package: Path) -> dict[str, set[str]]:
    """Each module of a package with those of the package that its module-level imports name."""
    paths = {".".join(path.relative_to(package.parent).with_suffix("").parts): path for path in package.rglob("*.py")}
    paths = {name.removesuffix(".__init__"): path for name, path in paths.items()}
    graph: dict[str, set[str]] = {}
    for name, path in paths.items():
        found = set()
        for node in module_level_imports(ast.parse(path.read_text(encoding="utf-8")).body):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                found.update(full if full in paths else node.module for full in names)
        graph[name] = found & paths.keys() - {name}
    return graph


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one import circle, in the order of the imports; [] where there is none."""
    done: set[str] = set()
    for start in graph:
        way, waiting = [start], [iter(sorted(graph[start]))]
        while way:
            following = next(waiting[-1], None)
            if following is None:
                done.add(way.pop())
                waiting.pop()
            elif following in way:
                return [*way[way.index(following) :], following]
            elif following not in done:
                way.append(following)
                waiting.append(iter(sorted(graph[following])))
    return []


def test_no_import_circle() -> None:
    assert circle(import_graph(PACKAGE)) == []


def test_a_circle_is_found(tmp_path: Path) -> None:
    package = tmp_path / "house"
    package.mkdir()
    (package / "__init__.py").write_text("from house.a import x")
    (package / "a.py").write_text("import os\nfrom house import b, nothing")
    (package / "b.py").write_text("def f():\n    from house import a\n")
    assert circle(import_graph(package)) == ["house", "house.a", "house"]  # `nothing` is in house/__init__.py
    (package / "a.py").write_text("from house import b")
    assert circle(import_graph(package)) == []  # an import within a function runs when all modules are there
    (package / "b.py").write_text("if True:\n    from house.a import x")
    assert circle(import_graph(package)) == ["house.a", "house.b", "house.a"]


def test_data_needs_no_backend() -> None:
    for path in (PACKAGE / "data").rglob("*.py"):
        assert not {name.split(".")[0] for name in imports(path)} & {"keras", "tensorflow", "jax", "torch"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_and_no_function_is_too_long(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno < 60, node.name


@pytest.mark.parametrize("name", COMMANDS)
def test_help_answers_at_once(name: str) -> None:
    """0.1 to 0.25 s of processor time; a backend alone would take more than one."""
    seconds, result = cpu_seconds(name, "--help")
    assert result.returncode == 0 and "examples:" in result.stdout
    assert seconds < 0.5


def test_the_package_imports_no_backend() -> None:
    backends = ("keras", "tensorflow", "jax", "torch")
    code = f"import sys, sle_gan; dir(sle_gan); sys.exit(any(m in sys.modules for m in {backends}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("engine", ("tensorflow", "jax", "torch"))
def test_commands_import_one_engine_and_no_plotting(engine: str) -> None:
    pytest.importorskip(engine)
    code = (
        f"import sys; from sle_gan.cli.common import import_backend; import_backend({engine!r})\n"
        "print(*sorted({'tensorflow', 'jax', 'torch', 'matplotlib'} & set(sys.modules)))\n"
        "import matplotlib.pyplot"  # what was hidden can be imported afterwards
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY)
    assert result.stdout.split() == [engine], result.stderr
    assert result.returncode == 0


def test_every_public_name_exists() -> None:
    import sle_gan

    for name in sle_gan.__all__:
        assert getattr(sle_gan, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Genrator'"):
        sle_gan.Genrator  # noqa: B018
