"""The native half of the wheel: the extension and the programs, built by native/Makefile.

Everything declarative is in pyproject.toml. setuptools thinks that it compiles one extension; what
really runs is the same `make` as in the tree, writing into the wheel's staging folder, so that
there is one set of flags and one list of sources. The extension keeps to the limited API
(abi3), hence one wheel for every CPython from 3.11.
"""

import os
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


class BuildNative(build_ext):
    """Hands the one extension, and with it the programs, over to make."""

    def build_extension(self, ext: Extension) -> None:
        """Run native/Makefile with the package folder of the staging area as its target."""
        package = Path(self.get_ext_fullpath(ext.name)).resolve().parent
        lock = ROOT / "build" / ".lock"  # the Makefile's: two builds in one tree would collide
        lock.parent.mkdir(exist_ok=True)
        command = ["flock", str(lock), "make", "-C", str(ROOT / "native")]
        command += [f"-j{os.cpu_count() or 1}"]
        command += [f"PACKAGE={package}", f"PYTHON={sys.executable}"]
        subprocess.run(command, check=True)

    def get_outputs(self) -> list[str]:
        """Name what was built, the programs and libasm too."""
        outputs = list(super().get_outputs())
        package = Path(self.build_lib, "supervisord_asm")
        made = [*package.glob("libexec/**/*"), *package.glob("devel/**/*")]
        return outputs + [str(path) for path in sorted(made) if path.is_file()]


class Abi3Wheel(bdist_wheel):
    """Names the wheel after the limited API that the extension keeps to."""

    def finalize_options(self) -> None:
        """Set the tag before setuptools derives one from the running interpreter."""
        self.py_limited_api = "cp311"
        super().finalize_options()


setup(
    ext_modules=[Extension("supervisord_asm._native", sources=[], py_limited_api=True)],
    cmdclass={"build_ext": BuildNative, "bdist_wheel": Abi3Wheel},
)
