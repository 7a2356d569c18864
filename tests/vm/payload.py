"""The drive of one run: the wheel of the tree, the tests, and their C programs, as a tar file.

The guest reads it from a virtio disk as tar reads a tape: no file system to make or to check.
"""

import shutil
import tarfile
from pathlib import Path

from tests.kernel.programs import build_into, sources
from tests.vm.cache import Cache, digest_of_files
from tests.vm.debian import run

ROOT = Path(__file__).resolve().parents[2]

# Of the venv that image.py makes.
GUEST_PYTHON = "/opt/asm-test/bin/python3"

# What the wheel is not made from.
NOT_IN_WHEEL = ("tests/", "docs/", "bench/", ".ci/", "examples/")
# What the kernel suite must not have beside its tests: the package comes from the wheel, or not at
# all. The scripts under install/, which the systemd suite runs, compare sources and want them.
NOT_FOR_TESTS = ("supervisord_asm/",)


def tree_files() -> list[str]:
    """Return the names of all files of the work tree that git does not ignore."""
    listed = run("git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = sorted(set(listed.split("\0")) - {""})
    return [name for name in names if (ROOT / name).is_symlink() or (ROOT / name).is_file()]


def copy_tree(names: list[str], place: Path) -> None:
    """Copy files of the work tree, so that a build sees one moment of it and leaves nothing."""
    for name in names:
        target = place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)


def wheel(cache: Cache, names: list[str]) -> Path:
    """Return the folder with the wheel of the tree, built if its sources have changed."""
    wanted = [name for name in names if not name.startswith(NOT_IN_WHEEL)]

    def build(folder: Path) -> None:
        """Build it as `make up` does, from a copy."""
        print("vm: building the wheel", flush=True)
        copy_tree(wanted, folder / "tree")
        command = ("/usr/bin/python3", "-m", "pip", "wheel", "-q", "--no-deps")
        run(*command, "-w", folder / "wheel", ".", cwd=folder / "tree")
        shutil.rmtree(folder / "tree")

    return cache.entry("wheel", digest_of_files(ROOT, wanted), build) / "wheel"


def installed(cache: Cache, product: Path) -> Path:
    """Return a folder with the wheel installed and compiled to byte code.

    The kernel suite gets this: in the guest pip takes half a minute, and byte code that does not
    exist is made again by every interpreter that may not write it. The systemd suite installs the
    wheel itself, in the guest. Needs the same interpreter here and there, which Debian sees to.
    """

    def build(folder: Path) -> None:
        """Install it, with the commands naming the guest's interpreter."""
        command = ("/usr/bin/python3", "-m", "pip", "install", "-q", "--no-deps", "--no-index")
        run(*command, "--target", folder, product)
        for script in (folder / "bin").iterdir():
            _, rest = script.read_text().split("\n", 1)
            script.write_text(f"#!{GUEST_PYTHON}\n{rest}")

    return cache.entry("installed", digest_of_files(product.parent, [product.name]), build)


def programs(cache: Cache) -> Path:
    """Return the folder with the C programs of the tests."""
    found = sources()
    names = [str(path.relative_to(ROOT)) for path in found]

    def build(folder: Path) -> None:
        """Compile all."""
        for source in found:
            build_into(folder / source.stem, source)

    return cache.entry("programs", digest_of_files(ROOT, [*names, "tests/kernel/programs.py"]),
                       build)  # fmt: skip


def write(
    cache: Cache,
    drive: Path,
    environment: dict[str, str],
    arguments: list[str],
    given: Path | None = None,
) -> None:
    """Write the drive, with the wheel of the tree if none is given.

    `environment` is set for the suite, `arguments` go to its pytest.
    """
    names = tree_files()
    product = given or next(wheel(cache, names).glob("*.whl"))
    texts = {
        "environment": "".join(f"{name}='{value}'\n" for name, value in environment.items()),
        "arguments": "".join(f"{argument}\0" for argument in arguments),
    }
    with tarfile.open(drive, "w") as tar:
        for name in names:
            if environment["ASM_TEST_SUITE"] == "systemd" or not name.startswith(NOT_FOR_TESTS):
                tar.add(ROOT / name, f"tree/{name}")
        tar.add(programs(cache), "programs")
        tar.add(product, f"wheel/{product.name}")
        tar.add(installed(cache, product), "installed")
        for name, text in texts.items():
            path = drive.with_name(name)
            path.write_text(text)
            tar.add(path, name)
            path.unlink()
