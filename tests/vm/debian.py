"""Debian's packages: the tools of this machine, single packages unpacked, and a root file system.

The mirror is the one that this machine's apt is set up with; nothing under /etc/apt or
/var/lib/apt is changed. Needs root, as debootstrap does.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

RELEASE = "bookworm"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# program -> package. Looked for before anything else, and installed when missing.
TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
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


def unpack_newest(pattern: str, release: str, state: Path, place: Path) -> str:
    """Unpack the newest package whose name matches `pattern` into `place`; return its name.

    Uses a source list and an apt state of its own, in the folder `state`.
    """
    for folder in ("lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True)
    sources = state / "sources.list"
    sources.write_text(f"deb [signed-by={KEYRING}] {mirror()} {release} main\n")
    options = [
        f"Dir::Etc::sourcelist={sources}",
        "Dir::Etc::sourceparts=-",
        f"Dir::State::lists={state}/lists",
        f"Dir::Cache={state}/cache",
        "APT::Sandbox::User=root",
    ]
    apart = [word for option in options for word in ("-o", option)]
    run("apt-get", *apart, "update")
    listed = run("apt-cache", *apart, "search", "--names-only", pattern)
    names = [line.split()[0] for line in listed.splitlines()]
    if not names:
        raise RuntimeError(f"unable to find a package {pattern} in {release}")
    # Numbers by value: 6.1.0-9 is older than 6.1.0-50.
    name = max(names, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])
    run("apt-get", *apart, "download", name, cwd=state)
    (package,) = state.glob("*.deb")
    run("dpkg", "-x", package, place)
    return name


def bootstrap(packages: tuple[str, ...], tree: Path) -> None:
    """Make a minimal Debian with these packages besides the required ones."""
    include = ",".join(packages)
    options = ("--variant=minbase", "--merged-usr", f"--include={include}", f"--keyring={KEYRING}")
    run("debootstrap", *options, RELEASE, tree, mirror())
    shutil.rmtree(tree / "var/cache/apt/archives")
    for indexes in (tree / "var/lib/apt/lists").glob("*_*"):
        indexes.unlink()
