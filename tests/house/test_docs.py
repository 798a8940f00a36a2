"""The documentation says what is there: verbs, options, files, links."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from headrace.cli.main import VERBS, root
from house.tree import ROOT, files, name

PAGES = [path for path in files(suffix=".md") if not name(path).startswith("tests/")]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)#\s]+)(#[^)\s]*)?\)")
FENCE = re.compile(r"^```(\w*).*?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(headrace [a-z][^`]*)`")
NO_COMMAND = {"headrace part digest 1", "headrace fold 1"}  # the first bytes of what digests are made over


def commands(text: str) -> Iterator[str]:
    """Yield the `headrace ...` command lines of a page: in shell blocks and between backquotes."""
    for language, block in FENCE.findall(text):
        if language in {"sh", "console", ""}:
            for line in block.replace("\\\n", " ").splitlines():
                for part in re.split(r"[|;]|&&|\$\(", line.removeprefix("$ ")):
                    if part.strip().startswith("headrace "):
                        yield part.strip()
    yield from set(INLINE.findall(FENCE.sub("", text))) - NO_COMMAND


def words_of(line: str) -> list[str]:
    """Split a command line as a shell does, without comments, redirections and what follows a bracket."""
    line = re.split(r"[)<>]| #", line)[0]
    return shlex.split(line.replace('"', ""))[1:]


def complaint(line: str) -> str | None:
    """Say what is wrong with a documented command line; None when its verbs and options exist."""
    command: click.Command = root
    for word in words_of(line):
        if word.startswith("-"):
            known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
            if word.split("=")[0] not in known | {"--help", "-h"}:
                return f"no option {word}"
        elif command.context_settings.get("ignore_unknown_options"):
            command = root.get_command(click.Context(root), word) or command  # `config show VERB ITS FLAGS`
        elif word in (also := getattr(command, "also", {})):
            command = also[word]  # `log moved TOPIC` beside `log TOPIC`
        elif isinstance(command, click.Group):
            verb = command.get_command(click.Context(command), word)
            if verb is None:
                return None if word in {"...", "WORDS..."} or not word.isalpha() else f"no verb {word}"
            command = verb
    return None


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_in_the_readme_or_the_docs(verb: str) -> None:
    """Whoever reads the documentation meets each verb of the command line."""
    pages = [ROOT / "README.md", *files("docs", suffix=".md")]
    assert any(re.search(rf"\bheadrace {verb}\b", page.read_text()) for page in pages)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_documented_commands_exist(page: Path) -> None:
    """Each headrace command line on a page names verbs and options that the command line has."""
    wrong = [(line, told) for line in commands(page.read_text()) if (told := complaint(line))]
    assert wrong == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("headrace lag --jsn", "no option --jsn"),
        ("headrace replai pin", "no verb replai"),
        ("headrace local upp", "no verb upp"),
        ("headrace replay pin --into stdout", None),
        ("headrace local up --detach", None),
    ],
)
def test_wrong_commands_are_seen(line: str, told: str | None) -> None:
    """The check above finds a misspelt verb and a misspelt option."""
    assert complaint(line) == told


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link of a page names a file of the tree, and each anchor a heading in it."""
    broken = []
    for target, anchor in LINK.findall(page.read_text()):
        if "://" in target:
            continue
        found = page.parent / target
        if not found.exists() or (anchor and anchor[1:] not in anchors(found)):
            broken.append(target + anchor)
    assert broken == []


def anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings have on the usual hosts."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_index_names_every_page() -> None:
    """docs/README.md leads to each page of docs/, and to the index.md of a folder that leads to the folder's own."""
    unnamed = []
    for page in files("docs", suffix=".md"):
        own = page.parent / "index.md"
        index = own if own.exists() and page != own else ROOT / "docs" / "README.md"
        if page != index and page.relative_to(index.parent).as_posix() not in index.read_text():
            unnamed.append(name(page))
    assert unnamed == []


def test_every_dependency_has_its_reason() -> None:
    """docs/dependencies.md names each package that pyproject.toml asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = [*project["project"]["optional-dependencies"].values(), *project["dependency-groups"].values()]
    wanted = [
        word for group in (project["project"]["dependencies"], *extras) for word in group if isinstance(word, str)
    ]
    names = {re.split(r"[\[<>=]", word)[0] for word in wanted} - {project["project"]["name"]}
    page = (ROOT / "docs" / "dependencies.md").read_text()
    assert [each for each in sorted(names) if not re.search(rf"[ |]{re.escape(each)}[ ,|]", page)] == []


def test_make_help_names_every_target_that_the_readme_uses() -> None:
    """Each `make TARGET` in README and docs is a target that `make help` lists."""
    makefile = (ROOT / "Makefile").read_text()
    listed = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    used = {target for page in PAGES for target in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE)}
    assert used
    assert used <= listed
