"""Prints the pinned requirements of pyproject.toml, one a line, for pip's -r.

pyproject.toml is the only place where a version stands; this is how the scripts read it. Standard
library only: it runs before anything is installed.

    requirements.py            what the running system needs
    requirements.py dev        that, and the extra `dev`
    requirements.py --only manual   the extra alone
"""

import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def requirements(project_text: str, extras: list[str], *, is_only: bool = False) -> list[str]:
    """List what pip is to install. Raises KeyError for an extra that is not there."""
    project = tomllib.loads(project_text)["project"]
    wanted: list[str] = [] if is_only else list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    return wanted


def main(arguments: list[str]) -> int:
    """Print the requirements that the command line names."""
    extras = [argument for argument in arguments if argument != "--only"]
    for line in requirements(PROJECT.read_text(), extras, is_only="--only" in arguments):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
