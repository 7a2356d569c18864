"""Stock Debian kernels: the file to boot, modules that a virtual machine can use, headers."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.vm.cache import Cache, digest
from tests.vm.debian import RELEASE, Archive

# version -> the archive's part that has it, and the names to choose the newest from.
SOURCES = {
    "6.1": (RELEASE, r"^linux-image-6\.1\.0-[0-9]+-amd64$"),
    "6.12": (f"{RELEASE}-backports", r"^linux-image-6\.12\.[0-9.]+\+deb12(\.[0-9]+)?-amd64$"),
}

# Of the 280 MB of drivers only these can find their device in the machine, or need none.
DRIVERS = ("block", "char", "crypto", "md", "net", "target", "virtio")
NET_DRIVERS = ("bonding", "dummy.ko", "ifb.ko", "macvlan.ko", "net_failover.ko", "tap.ko",
               "tun.ko", "veth.ko", "virtio_net.ko", "vrf.ko", "vxlan", "wireguard")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kernel:
    """An unpacked kernel."""

    version: str
    release: str
    """As uname -r prints it."""
    folder: Path

    @property
    def vmlinuz(self) -> Path:
        """The file to boot."""
        return self.folder / "vmlinuz"

    @property
    def modules(self) -> Path:
        """What belongs into /usr/lib/modules/<release>."""
        return self.folder / "modules"

    @property
    def headers(self) -> Path:
        """What belongs into /usr/src, for BCC; the modules folder has links to it."""
        return self.folder / "headers"


def keep_only(folder: Path, names: tuple[str, ...]) -> None:
    """Remove all from `folder` but these folders and modules (compressed or not)."""
    for path in folder.iterdir():
        if path.name.removesuffix(".xz") not in names:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def fetch(cache: Cache, version: str) -> Kernel:
    """Return the newest kernel of a version as it was when first asked for."""
    release, pattern = SOURCES[version]

    def build(folder: Path) -> None:
        """Unpack, and keep what is used."""
        print(f"vm: fetching a {version} kernel", flush=True)
        root = folder / "unpacked"
        archive = Archive.open(release, folder / "apt")
        image = archive.newest(pattern)
        headers = image.replace("linux-image", "linux-headers")
        archive.unpack([image, headers, headers.replace("-amd64", "-common")], root)
        (source,) = (root / "lib/modules").iterdir()
        for useless in ("kernel/sound", "kernel/arch/x86/kvm"):
            shutil.rmtree(source / useless)
        keep_only(source / "kernel/drivers", DRIVERS)
        keep_only(source / "kernel/drivers/net", NET_DRIVERS)
        (folder / "release").write_text(source.name)
        source.rename(folder / "modules")
        (root / "usr/src").rename(folder / "headers")
        next((root / "boot").glob("vmlinuz-*")).rename(folder / "vmlinuz")
        shutil.rmtree(root)
        shutil.rmtree(folder / "apt")

    key = digest(release, pattern, *DRIVERS, *NET_DRIVERS, "headers")
    folder = cache.entry(f"kernel-{version}", key, build)
    return Kernel(version, (folder / "release").read_text(), folder)
