"""The daemon's folders: from the configuration's words to paths, and made with their modes."""

import os
from pathlib import Path, PurePosixPath

from supervisord_asm.core.daemon_spec import PathsSpec
from supervisord_asm.paths import Paths


def paths_of(spec: PathsSpec) -> Paths:
    """Return the spec's folders as paths."""
    paths = Paths(
        run=Path(spec.run), state=Path(spec.state), logs=Path(spec.logs), fuse=Path(spec.fuse),
        bpffs=Path(spec.bpffs), config=Path(spec.config), cgroup=PurePosixPath(spec.cgroup),
    )  # fmt: skip
    if spec.libexec is None:
        return paths
    return Paths(
        paths.run, paths.state, paths.logs, paths.fuse, paths.bpffs, paths.config, paths.cgroup,
        Path(spec.libexec),
    )  # fmt: skip


def make_folders(paths: Paths, gid: int | None) -> None:
    """Make our folders with their modes. Raises OSError."""
    for folder, mode, group in (
        (paths.run, 0o755, None),
        # Agents reach their own folder below; the journal beside it is not theirs to see.
        (paths.state, 0o711, None),
        (paths.state / "agents", 0o711, None),
        (paths.logs, 0o750, gid),
        (paths.logs / "agents", 0o750, gid),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(mode)
        if group is not None:
            os.chown(folder, 0, group)
