"""What the machine boots: a kernel, a small initramfs and a Debian root file system with systemd.

Three cached layers, slowest first: the bare Debian; the wheels of the pinned dependencies; and
per kernel an image of both with the kernel's modules and the guest's unit. Nothing of the product
or its tests is in an image: that comes on a drive of its own (payload.py), so that an image stays
good until a pin, a package or the guest's unit changes.
"""

import hashlib
import lzma
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.vm.cache import Cache, digest, digest_of_files
from tests.vm.debian import bootstrap, run
from tests.vm.kernel import Kernel

ROOT = Path(__file__).resolve().parents[2]
GUEST = Path(__file__).resolve().parent / "guest"

# What a server has, and libraries that the programs are linked to; no compiler but BCC's own, for
# suite-bcc. busybox is for the initramfs.
PACKAGES = (
    "busybox-static", "dbus", "fuse3", "iproute2", "kmod", "libcap2-bin", "libelf1", "make",
    "procps", "psmisc", "python3", "python3-bpfcc", "python3-pip", "python3-venv", "strace",
    "systemd", "systemd-sysv", "udev",
)  # fmt: skip

# Units that cost seconds of start-up under emulation and do nothing for a machine of one run.
MASKED = (
    "apt-daily-upgrade.timer", "apt-daily.timer", "console-getty.service", "dpkg-db-backup.timer",
    "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer", "getty@tty1.service",
    "serial-getty@ttyS0.service", "systemd-binfmt.service", "systemd-pstore.service",
    "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service",
)  # fmt: skip

# In the order in which the initramfs inserts what they depend on: enough to mount the root.
BOOT_MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")

# Sparse; a build that outgrows it says so. Tests may fill the rest.
IMAGE_SIZE = "3G"

# Of the extras in pyproject.toml, what running tests needs, and docutils, with which
# install/wheel.sh makes the man pages.
TEST_TOOLS = ("pytest", "hypothesis", "docutils")


@dataclass(frozen=True, slots=True)
class Image:
    """What qemu is given."""

    vmlinuz: Path
    initrd: Path
    disk: Path


def rootfs(cache: Cache) -> Path:
    """Return the folder of the bare Debian."""

    def build(folder: Path) -> None:
        """Download and unpack it."""
        print("vm: making a Debian root file system", flush=True)
        bootstrap(PACKAGES, folder / "tree")

    return cache.entry("rootfs", digest(*PACKAGES), build) / "tree"


def requirements() -> tuple[list[str], list[str]]:
    """Return the pinned run-time dependencies of pyproject.toml, and the test tools."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tools = [pin for pin in project["optional-dependencies"]["dev"] if pin.startswith(TEST_TOOLS)]
    return project["dependencies"], tools


def wheelhouse(cache: Cache) -> Path:
    """Return a folder: run/ has the wheels of the dependencies, test/ those and the test tools.

    Both with all that they need in turn.
    """
    product, tools = requirements()
    constraints = ROOT / "install/constraints.txt"

    def build(folder: Path) -> None:
        """Download with the interpreter that the guest has too."""
        print(f"vm: downloading {len(product + tools)} pinned packages", flush=True)
        command = ("/usr/bin/python3", "-m", "pip", "download", "-q", "--only-binary=:all:")
        limits = ("--constraint", constraints)
        run(*command, *limits, "-d", folder / "run", *product)
        shutil.copytree(folder / "run", folder / "test")
        run(*command, *limits, "-d", folder / "test", *product, *tools)

    key = digest(*product, "", *tools, constraints.read_text())
    return cache.entry("wheelhouse", key, build)


def initramfs(tree: Path, release: str, initrd: Path) -> None:
    """Make the initramfs from the busybox and the modules of `tree`, and guest/init."""
    folder = initrd.with_suffix(".tree")
    for name in ("bin", "dev", "proc", "root"):
        (folder / name).mkdir(parents=True)
    shutil.copy2(tree / "bin/busybox", folder / "bin/busybox")
    shutil.copy2(GUEST / "init", folder / "init")
    order: list[str] = []
    for module in BOOT_MODULES:
        options = ("--set-version", release, "--show-depends")
        lines = run("chroot", tree, "modprobe", *options, module).splitlines()
        order += [line.split()[1] for line in lines if line.startswith("insmod ")]
    for number, name in enumerate(dict.fromkeys(order)):
        content = (tree / name.lstrip("/")).read_bytes()
        if name.endswith(".xz"):
            content = lzma.decompress(content)  # busybox hands the kernel what is in the file
        (folder / f"{number:02}.ko").write_bytes(content)
    run("sh", "-c", f"find . | cpio --quiet -o -H newc > '{initrd}'", cwd=folder)
    shutil.rmtree(folder)


def configure(tree: Path) -> None:
    """Put the guest's unit in, and take out what only costs time."""
    units = tree / "etc/systemd/system"
    shutil.copy2(GUEST / "asm-suite.service", units)
    shutil.copy2(GUEST / "asm-suite", tree / "usr/local/sbin")
    wants = units / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "asm-suite.service").symlink_to("../asm-suite.service")
    for unit in MASKED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    (units / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    (tree / "etc/fstab").write_text("")
    (tree / "etc/hostname").write_text("asm-guest\n")
    (tree / "etc/hosts").write_text("127.0.0.1 localhost asm-guest\n")
    machine_id = hashlib.md5(b"asm-guest", usedforsecurity=False).hexdigest()
    (tree / "etc/machine-id").write_text(f"{machine_id}\n")
    for stamp in ("etc/.updated", "var/.updated"):  # newer than /usr: nothing to do at first boot
        (tree / stamp).touch()


def build_image(cache: Cache, kernel: Kernel) -> Image:
    """Return the image for a kernel, made if it is not there."""
    bare, wheels = rootfs(cache), wheelhouse(cache)

    def build(folder: Path) -> None:
        """Copy the layers together; nothing of this starts a service or needs a mount."""
        print(f"vm: making an image with {kernel.release}", flush=True)
        tree = folder / "tree"
        run("cp", "-a", "--reflink=auto", bare, tree)
        modules = tree / "usr/lib/modules"
        modules.mkdir(exist_ok=True)
        run("cp", "-a", kernel.modules, modules / kernel.release)
        run("cp", "-a", f"{kernel.headers}/.", tree / "usr/src")
        run("chroot", tree, "depmod", kernel.release)
        run("cp", "-a", wheels / "run", tree / "opt/wheelhouse")
        make_venv(tree, wheels / "test")
        configure(tree)
        initramfs(tree, kernel.release, folder / "initrd")
        shutil.copy2(kernel.vmlinuz, folder / "vmlinuz")
        make_disk(tree, folder / "disk.ext4")
        shutil.rmtree(tree)

    recipe = Path(__file__).read_text()
    guest = digest_of_files(GUEST, ["asm-suite", "asm-suite.service", "init"])
    key = digest(kernel.folder.name, bare.parent.name, wheels.name, guest, recipe)
    folder = cache.entry(f"image-{kernel.version}", key, build)
    return Image(folder / "vmlinuz", folder / "initrd", folder / "disk.ext4")


def make_venv(tree: Path, wheels: Path) -> None:
    """Make /opt/asm-test in `tree`, with its own interpreter, which is this machine's too."""
    venv, copy = "/opt/asm-test", tree / "tmp/wheels"
    shutil.copytree(wheels, copy)
    run("chroot", tree, "/usr/bin/python3", "-m", "venv", venv)
    offline = ("--no-index", "--find-links=/tmp/wheels", "--no-cache-dir")
    product, tools = requirements()
    run("chroot", tree, f"{venv}/bin/pip", "install", "-q", *offline, *product, *tools)
    shutil.rmtree(copy)


def make_disk(tree: Path, disk: Path) -> None:
    """Make a file system image of a folder. No journal: a power cut of this disk is its end."""
    options = ("-q", "-F", "-m", "0", "-O", "^has_journal", "-E", "root_owner=0:0")
    run("mkfs.ext4", *options, "-d", tree, disk, IMAGE_SIZE)
