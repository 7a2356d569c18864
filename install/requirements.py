"""Prints the pinned requirements of pyproject.toml, one a line, for pip's -r.

pyproject.toml is the only place where a version stands; this is how the scripts read it. Standard
library only: it runs before anything is installed.

    requirements.py run dev     what the running system needs, and the extra `dev`
    requirements.py build       what setup.py needs, as pip would install it for an isolated build
"""

import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def requirements(project_text: str, lists: list[str]) -> list[str]:
    """List what pip is to install. Raises KeyError for a list that is not there."""
    project = tomllib.loads(project_text)
    known = dict(project["project"]["optional-dependencies"])
    known["run"] = project["project"]["dependencies"]
    known["build"] = project["build-system"]["requires"]
    return [line for name in lists for line in known[name]]


if __name__ == "__main__":
    print("\n".join(requirements(PROJECT.read_text(), sys.argv[1:])))
