"""What the pages name is there: commands with their options, settings, modules, files, tests and routes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from tastemaker.cli.main import app
from tastemaker.store.settings import FIELDS

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.name not in ("cli.md", "promises.md")),
]
FOLDERS = "tests|recipes|benchmarks|docs|examples|deploy|requirements"
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def spans(text: str) -> list[str]:
    """What stands in backquotes, and the lines of code blocks."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.M | re.S)
    plain = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    lines = [line for language, block in blocks if language != "python" for line in block.splitlines()]
    return [*re.findall(r"`([^`]+)`", plain), *lines]


def reached(words: list[str]) -> tuple[Any, list[str]]:
    """The command that `words` lead to, and what is left of them."""
    command: Any = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    return command, words


@every_page
def test_commands_and_their_options_exist(page: Path) -> None:
    root: Any = typer.main.get_command(app)
    starts = "|".join(name for name, command in root.commands.items() if hasattr(command, "commands"))
    for span in spans(page.read_text()):
        for line in re.findall(
            rf"(?:^|[\s(;&|])tastemaker ([a-z][\w-]* ?[^;&|#]*)|^((?:{starts}) [a-z][^;&|#]*)", span
        ):
            given = " ".join(filter(None, line)).split()
            command, rest = reached(given)
            assert rest != given, span
            assert not command.hidden, span
            group = hasattr(command, "commands")
            assert not (group and rest and re.fullmatch(r"[a-z][a-z-]+", rest[0])), span
            legal = {name for part in command.params if not part.hidden for name in part.opts}
            legal |= {name for part in command.params for name in part.secondary_opts} | {"--help", "-h"}
            named = {word.split("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
            assert group or named <= legal, (span, named - legal)


@every_page
def test_settings_exist(page: Path) -> None:
    text = page.read_text()
    named = re.findall(r"`([a-z_]+) = (?!\"\w+:)[^`]+`", text)
    for block in re.findall(r"^```toml\n(.*?)^```", text, flags=re.M | re.S):
        named += [] if "[project" in block else re.findall(r"^([a-z_]+) = ", block, flags=re.M)
    plan = {"triggered"}  # a key of an experiment's plan
    assert not set(named) - set(FIELDS) - plan


@every_page
def test_modules_files_and_tests_exist(page: Path) -> None:
    text = page.read_text()
    for module in re.findall(r"python3? -m\s+((?:recipes|benchmarks)\.[\w.]*\w)(?![\w.]*[.<])", text):
        file = ROOT / module.replace(".", "/")
        assert file.with_suffix(".py").is_file() or (file / "__main__.py").is_file(), module
    for span in spans(text):
        for path, function in re.findall(rf"(?<![\w/.-])((?:{FOLDERS})/[\w/.-]*\w)(?:::(\w+))?", span):
            assert (ROOT / path).exists(), span
            assert not function or f"def {function}(" in (ROOT / path).read_text(), span
        inside = re.fullmatch(r"([a-z_]+/[\w/]+\.py)(?:::(\w+))?", span)
        if inside and span.split("/")[0] not in FOLDERS.split("|"):
            source = (ROOT / "src" / "tastemaker" / inside[1]).read_text()
            assert not inside[2] or re.search(rf"^ *(def|class) {inside[2]}\b", source, flags=re.M), span


@every_page
def test_routes_exist(page: Path) -> None:
    source = "".join(file.read_text() for file in (ROOT / "src/tastemaker/server").rglob("*.py"))
    routes = re.findall(r"@\w+\.(get|post|delete)\(\s*\"([^\"]+)\"", source)
    routes += [("get", "/health" + path) for _, path in routes if path in ("/live", "/ready")]
    assert len(routes) > 20
    for method, path in re.findall(r"`(GET|POST|DELETE) (/[\w/{}.]*)", page.read_text()):
        shapes = [re.sub(r"{[^}]*}", "[^/]+", known) for verb, known in routes if verb == method.lower()]
        assert any(re.fullmatch(shape, path) for shape in shapes), (method, path)


def test_every_dependency_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (ROOT / "docs" / "dependencies.md").read_text()
    extras = project["optional-dependencies"].values()
    for line in [*project["dependencies"], *(line for extra in extras for line in extra)]:
        name = re.split(r"[^\w-]", line)[0]
        assert name.removeprefix("opentelemetry") in page, name


def test_every_page_is_linked() -> None:
    linked = {ROOT / "README.md"}
    for page in [*PAGES, ROOT / "docs" / "promises.md"]:
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            linked.add((page.parent / link).resolve())
    for file in [*(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.png")]:
        assert file in linked, file
