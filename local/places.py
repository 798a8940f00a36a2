"""Where things lie when nobody says otherwise: in the user's own folders, as the XDG specification has it."""

from collections.abc import Mapping
from pathlib import Path


def default_folder(env: Mapping[str, str]) -> Path:
    """Return where the instance lies that is meant when none is named."""
    return _base(env, "XDG_STATE_HOME", ".local/state") / "headrace" / "local"


def default_cache(env: Mapping[str, str]) -> Path:
    """Return where fetched jars are kept."""
    return _base(env, "XDG_CACHE_HOME", ".cache") / "headrace" / "maven"


def _base(env: Mapping[str, str], name: str, below_home: str) -> Path:
    if env.get(name):
        return Path(env[name])
    home = Path(env["HOME"]) if env.get("HOME") else Path.home()
    return home / below_home
