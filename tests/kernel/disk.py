"""A small disk of a test's own that can be filled, broken and mounted anew. Needs root."""

import os
import subprocess
from pathlib import Path


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


class Disk:
    """A mount point below the test's folder; `remove` unmounts whatever is there."""

    def __init__(self, folder: Path) -> None:
        # The name that tests/conftest.py looks for when it checks that nothing was left behind.
        self.path = folder / f"asm-test-{os.getpid()}-disk"
        self.path.mkdir()
        self._image = folder / "image"

    def mount_tmpfs(self, size: str) -> None:
        """Mount a disk in memory, of a size as mount(8) writes it."""
        _run("mount", "-t", "tmpfs", "-o", f"size={size}", "asm-test", str(self.path))

    def grow_tmpfs(self, size: str) -> None:
        """Give it another size."""
        _run("mount", "-o", f"remount,size={size}", str(self.path))

    def fill(self, ballast: Path) -> None:
        """Write a file until no byte is left."""
        with ballast.open("wb", buffering=0) as file:
            for block in (1 << 20, 1 << 12, 1):
                try:
                    while file.write(bytes(block)) == block:
                        pass
                except OSError:
                    pass  # full, to within this block

    def mount_ext4(self, size: str) -> None:
        """Make and mount an ext4 in a file."""
        _run("truncate", "-s", size, str(self._image))
        _run("mkfs.ext4", "-q", "-F", str(self._image))
        self.mount_image()

    def mount_image(self) -> None:
        """Mount the ext4 that mount_ext4 made."""
        _run("mount", "-o", "loop", str(self._image), str(self.path))

    def abort_ext4(self) -> None:
        """Do what ext4 does after an error on its disk: refuse every write (ext4(5), abort)."""
        _run("mount", "-o", "remount,abort", str(self.path))

    def remount_read_only(self) -> None:
        """As an administrator would; nobody may have a file open for writing."""
        _run("mount", "-o", "remount,ro", str(self.path))

    def unmount(self) -> None:
        """Take it away, though files are open on it."""
        _run("umount", "-l", str(self.path))

    def is_image_free(self) -> bool:
        """Whether the last file on the unmounted ext4 has been closed."""
        command = ["losetup", "-j", str(self._image)]
        return not subprocess.run(command, check=True, capture_output=True).stdout

    def remove(self) -> None:
        """Unmount, as often as something is mounted."""
        while subprocess.run(["umount", "-l", str(self.path)], capture_output=True).returncode == 0:
            pass
