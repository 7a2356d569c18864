"""Debian's packages: the tools of this machine, single packages unpacked, and a root file system.

The mirror is the one that this machine's apt is set up with; nothing under /etc/apt or
/var/lib/apt is changed. Needs root, as debootstrap does.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

RELEASE = "bookworm"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# program -> package. Looked for before anything else, and installed when missing.
TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",  # for its libraries: see emulator.py
    "debootstrap": "debootstrap",
    "mkfs.ext4": "e2fsprogs",
    "cpio": "cpio",
    "setpriv": "util-linux",
}


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command and return what it printed; raise with its whole output if it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
    )
    if done.returncode != 0:
        words = " ".join(str(word) for word in command)
        raise RuntimeError(f"exit status {done.returncode} from: {words}\n{done.stdout}")
    return done.stdout


def install_tools() -> None:
    """Install those of TOOLS that this machine has not got."""
    missing = sorted({package for program, package in TOOLS.items() if not shutil.which(program)})
    if missing:
        print(f"vm: installing {' '.join(missing)}", flush=True)
        wait = ("-o", "DPkg::Lock::Timeout=300")
        run("apt-get", *wait, "update")
        run("apt-get", *wait, "install", "-y", "--no-install-recommends", *missing)


def mirror() -> str:
    """Return the address of the archive that this machine's apt uses for RELEASE."""
    printed = run("apt-get", "update", "--print-uris")
    found = re.search(rf"'(\S+?)/?dists/{RELEASE}/InRelease'", printed)
    if not found:
        raise RuntimeError(f"apt has no source for {RELEASE}: unable to find a mirror\n{printed}")
    return found[1]


@dataclass(frozen=True, slots=True)
class Archive:
    """One part of Debian's archive, read through a source list and an apt state of its own."""

    options: tuple[str, ...]
    state: Path

    @classmethod
    def open(cls, release: str, state: Path) -> "Archive":
        """Make the apt state in the empty folder `state`, and fetch the index."""
        for folder in ("lists/partial", "cache/archives/partial"):
            (state / folder).mkdir(parents=True)
        sources = state / "sources.list"
        sources.write_text(f"deb [signed-by={KEYRING}] {mirror()} {release} main\n")
        options = (
            f"Dir::Etc::sourcelist={sources}",
            "Dir::Etc::sourceparts=-",
            f"Dir::State::lists={state}/lists",
            f"Dir::Cache={state}/cache",
            "APT::Sandbox::User=root",
        )
        archive = cls(tuple(word for option in options for word in ("-o", option)), state)
        run("apt-get", *archive.options, "update")
        return archive

    def newest(self, pattern: str) -> str:
        """Return the package whose name matches and has the highest numbers in it."""
        listed = run("apt-cache", *self.options, "search", "--names-only", pattern)
        names = [line.split()[0] for line in listed.splitlines()]
        if not names:
            raise RuntimeError(f"unable to find a package {pattern}")
        # Numbers by value: 6.1.0-9 is older than 6.1.0-50.
        return max(names, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])

    def unpack(self, names: list[str], place: Path) -> None:
        """Unpack packages into `place`, without what they depend on."""
        run("apt-get", *self.options, "download", *names, cwd=self.state)
        for package in self.state.glob("*.deb"):
            run("dpkg", "-x", package, place)
            package.unlink()


def bootstrap(packages: tuple[str, ...], tree: Path) -> None:
    """Make a minimal Debian with these packages besides the required ones."""
    include = ",".join(packages)
    options = ("--variant=minbase", "--merged-usr", f"--include={include}", f"--keyring={KEYRING}")
    run("debootstrap", *options, RELEASE, tree, mirror())
    shutil.rmtree(tree / "var/cache/apt/archives")
    for indexes in (tree / "var/lib/apt/lists").glob("*_*"):
        indexes.unlink()
