"""Turns docs/man/*.rst into man pages below a folder: `manual.py MANDIR`.

Prints the path of each page written, so that `make purge` removes exactly these. The section is
the number in the file's name (asmctl.1.rst). Needs docutils, which the running system does not.
"""

import sys
from pathlib import Path

from docutils.core import publish_file

PAGES = Path(__file__).resolve().parent.parent / "docs" / "man"


def target(page: Path, folder: Path) -> Path:
    """Return where a page goes: asmctl.1.rst becomes man1/asmctl.1."""
    name = page.name.removesuffix(".rst")
    return folder / f"man{name.rsplit('.', 1)[1]}" / name


def main(arguments: list[str]) -> int:
    """Write every page; warnings of docutils are errors, as in the tests."""
    folder = Path(arguments[0])
    for page in sorted(PAGES.glob("*.[1-8].rst")):
        path = target(page, folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        publish_file(
            source_path=str(page),
            destination_path=str(path),
            writer="manpage",
            settings_overrides={"halt_level": 2, "report_level": 2},
        )
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
