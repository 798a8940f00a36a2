"""Reads docker/Dockerfile as far as its tests ask: its stages, and their instructions with joined lines."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from house.tree import ROOT

DOCKER = ROOT / "docker"


@dataclass(frozen=True)
class Stage:
    """What stands between two FROM lines."""

    name: str
    base: str
    instructions: tuple[tuple[str, str], ...]

    def all(self, instruction: str) -> list[str]:
        """What follows an instruction, each time that it stands there."""
        return [text for name, text in self.instructions if name == instruction]

    def words(self, instruction: str) -> list[str]:
        """The words of an ENTRYPOINT or CMD, which has to be in exec form: a shell form would need a shell."""
        (text,) = self.all(instruction)
        words = json.loads(text)
        assert isinstance(words, list)
        return words

    def health_check(self) -> list[str]:
        """The words of the health check's command, in exec form too."""
        (text,) = self.all("HEALTHCHECK")
        words = json.loads(text.partition(" CMD ")[2])
        assert isinstance(words, list)
        return words


def stages(path: Path = DOCKER / "Dockerfile") -> dict[str, Stage]:
    """Return the stages by name, in the order of the file."""
    text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found: dict[str, Stage] = {}
    for block in re.split(r"^(?=FROM )", text, flags=re.MULTILINE)[1:]:
        first, *lines = [re.sub(r" +", " ", line.strip()) for line in block.splitlines() if line.strip()]
        _, base, _, name = first.split(" ")
        parts = [line.split(" ", 1) for line in lines]
        found[name] = Stage(name, base, tuple((instruction, rest) for instruction, rest in parts))
    return found
