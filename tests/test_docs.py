"""What the documentation says is true: its commands run, its links and targets exist, no dependency is unexplained.

Convention: in a fenced block of the language `console`, lines that start with `$ ` are run here, in order and in the
root of the checkout, and must succeed. The lines below a command must appear in its output, unless they hold a digit
or an ellipsis, since those differ from run to run. Other blocks are not run; that is where whole installations go.
"""

from __future__ import annotations

import doctest
import importlib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer.main

from training.cli import app

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
INSTALLS = re.compile(r"\b(make (demo|test|pr|install|e2e|localstack|build|tools|constraints)|git clone|pip install)\b")
COMMAND_TIMEOUT_S = 600


@dataclass(frozen=True)
class Block:
    """One `console` block."""

    page: Path
    line: int
    commands: tuple[tuple[str, tuple[str, ...]], ...]  # command, the output shown below it

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def console_blocks(page: Path) -> Iterator[Block]:
    for match in re.finditer(r"^```console\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        commands = []
        for part in re.split(r"^\$ ", match[1], flags=re.MULTILINE)[1:]:
            command, *output = part.rstrip("\n").split("\n")
            commands.append((command, tuple(output)))
        yield Block(page, page.read_text()[: match.start()].count("\n") + 1, tuple(commands))


BLOCKS = [block for page in PAGES for block in console_blocks(page)]


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_commands_in_the_documentation_run(block: Block) -> None:
    if "infra.invoke" in str(block.commands) and not (ROOT / ".aws-sam" / "build" / "RecommendFunction").is_dir():
        pytest.skip("nothing is built: run `make build`")
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for command, shown in block.commands:
        assert not INSTALLS.search(command), f"{command}: a whole installation belongs in a block that is not run"
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"$ {command}\n{done.stdout}\n{done.stderr}"
        for line in shown:
            if not re.search(r"\d|…|\.\.\.", line):
                assert line.strip() in done.stdout, f"$ {command}: no longer prints {line!r}\n{done.stdout}"


def test_there_are_commands_to_run() -> None:
    assert BLOCKS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def make_targets() -> set[str]:
    text = "\n".join(path.read_text() for path in (ROOT / "Makefile", *(ROOT / "infra").glob("*.mk")))
    return set(re.findall(r"^([a-z][a-z0-9-]*):", text, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_targets_exist(page: Path) -> None:
    commands = re.findall(r"(?:`|^\$ |^)make ([a-z][a-z0-9 -]*)", page.read_text(), re.MULTILINE)
    mentioned = {target for command in commands for target in command.split()[:3] if not target.startswith("-")}
    assert mentioned <= make_targets() or not commands, mentioned - make_targets()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_the_command_line_exist(page: Path) -> None:
    for words in re.findall(r"(?:`|^\$ )fusionrec ((?:[a-z][a-z-]* ?)+)", page.read_text(), re.MULTILINE):
        command = typer.main.get_command(app)
        for word in words.split():
            commands = getattr(command, "commands", None)
            if commands is None:
                break
            assert word in commands, f"{page.name}: fusionrec {words}"
            command = commands[word]


EXAMPLES = [
    path
    for name in ("fusionrec", "functions", "training")
    for path in (ROOT / name).rglob("*.py")
    if ">>> " in path.read_text()
]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_worked_numbers_in_docstrings_are_right(path: Path) -> None:
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


# --- dependencies ------------------------------------------------------------------------------------------------

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TOOLS = {"aws-sam-cli", "ministack", "aws-sam-translator", "awslambdaric", "rectools", "implicit", "lenskit"}


def direct_dependencies() -> set[str]:
    project = PROJECT["project"]
    lines = [*PROJECT["build-system"]["requires"], *project["dependencies"]]
    lines += [line for extra in project["optional-dependencies"].values() for line in extra]
    names = {re.split(r"[\[<>=~! ;]", line)[0] for line in lines}
    return names - {project["name"]}


def pins(path: Path) -> dict[str, str]:
    """Normalised name → version."""
    found = re.findall(r"^([\w.-]+)==(\S+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def test_every_direct_dependency_is_explained_and_no_other() -> None:
    rows = re.findall(r"^\| `([\w.-]+)` \| \S", (ROOT / "docs" / "dependencies.md").read_text(), re.MULTILINE)
    assert len(rows) == len(set(rows))
    assert set(rows) == direct_dependencies() | TOOLS


def test_every_direct_dependency_is_pinned() -> None:
    pinned = pins(ROOT / "constraints.txt")
    replaced = {"onnxruntime-gpu"}  # installed instead of onnxruntime, on machines with CUDA only
    assert direct_dependencies() - replaced <= set(pinned)
    assert PROJECT["build-system"]["requires"] == [f"setuptools=={pinned['setuptools']}"]


def test_the_tools_are_pinned() -> None:
    names = {name for path in (ROOT / "infra").glob("constraints-*.txt") for name in pins(path)}
    assert names >= TOOLS


def test_constraints_hold_nothing_but_pins() -> None:
    for path in (ROOT / "constraints.txt", *(ROOT / "infra").glob("constraints-*.txt")):
        lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
        assert len(lines) == len(pins(path)), path.name
