"""Where everything lives, in one value. Names only: opens, makes and checks nothing.

A `Paths` is built once from the `paths:` section of asm.yaml and handed down. Nothing else in the
package spells a path of ours, so a test, or a second daemon on one host, changes this one value and
collides with nobody. The cgroup is given relative to the cgroup2 root, because that root differs
from host to host (/sys/fs/cgroup, or /sys/fs/cgroup/unified on a hybrid one): kernel/cgroupfs.py
finds it.

Sources: shared/spec/CONTRACT.md, "Who is who", "Configuration", "Logs"; hier(7), file-hierarchy(7).
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CGROUP = PurePosixPath("asm.slice")
# Not resolved: the sanitizer build is this package seen through links, with programs of its own.
LIBEXEC = Path(__file__).absolute().parent / "libexec"


@dataclass(frozen=True, slots=True)
class Paths:
    """The folders of one daemon; each can be overridden under `paths:` in asm.yaml."""

    run: Path = Path("/run/asm")
    """Sockets, pid file and lock; on a tmpfs, gone after a reboot."""
    state: Path = Path("/var/lib/asm")
    """The journal and the agents' state directories; survives everything but `make purge`."""
    logs: Path = Path("/var/log/asm")
    fuse: Path = Path("/run/agentsys")
    """Mount point of asm-procfs."""
    bpffs: Path = Path("/sys/fs/bpf/asm")
    """Pinned maps and links, so that counts survive a restart of asmd."""
    config: Path = Path("/etc/asm")
    cgroup: PurePosixPath = CGROUP
    """Relative to the cgroup2 root; never absolute."""
    libexec: Path = LIBEXEC
    """asm-keeper, asm-exec, asm-procfs. Beside the package, in the tree as in the wheel."""

    @property
    def agent_socket(self) -> Path:
        """The socket of agents, mode 0666."""
        return self.run / "asm.sock"

    @property
    def control_socket(self) -> Path:
        """The socket of operators, mode 0660 root:asm."""
        return self.run / "control.sock"

    @property
    def keeper_socket(self) -> Path:
        """Where asm-keeper listens for asmd, mode 0600."""
        return self.run / "keeper.sock"

    @property
    def procfs_socket(self) -> Path:
        """Where asm-procfs listens for asmd, mode 0600."""
        return self.run / "procfs.sock"

    @property
    def notify_socket(self) -> Path:
        """Where agents send READY=1 and WATCHDOG=1 (sd_notify(3)), mode 0666."""
        return self.run / "notify.sock"

    @property
    def pid_file(self) -> Path:
        """One line: the pid of the running asmd."""
        return self.run / "asmd.pid"

    @property
    def lock_file(self) -> Path:
        """Held by flock(2) while asmd lives: a second one refuses to start."""
        return self.run / "asmd.lock"

    @property
    def journal(self) -> Path:
        """The one database; SQLite adds -wal and -shm beside it."""
        return self.state / "journal.db"

    @property
    def tallies(self) -> Path:
        """What agents said by the thousand (store/tallies.py), mapped by asmd."""
        return self.state / "tallies"

    @property
    def daemon_log(self) -> Path:
        """asmd's own log where there is no journald."""
        return self.logs / "asmd.log"

    @property
    def config_file(self) -> Path:
        """The daemon's configuration."""
        return self.config / "asm.yaml"

    @property
    def agents_folder(self) -> Path:
        """The agents' configuration: *.yaml, each an agent or a list of them."""
        return self.config / "agents.d"

    def agent_state(self, name: str) -> Path:
        """Return the state directory of the agent `name`: its HOME, 0700, owned by its uid."""
        return self.state / "agents" / name

    def agent_log(self, name: str) -> Path:
        """Return the log file of the agent `name`; a second, older one has `.1` appended."""
        return self.logs / "agents" / f"{name}.log"

    def agent_cgroup(self, agent_id: int) -> PurePosixPath:
        """Return the cgroup of an agent, relative to the cgroup2 root."""
        return self.cgroup / "agents" / str(agent_id)

    def system_cgroup(self, program: str) -> PurePosixPath:
        """Return the cgroup of one of our own programs: keeper, asmd or procfs."""
        return self.cgroup / "system" / program

    def program(self, name: str) -> Path:
        """Return the path of one of the C programs, such as asm-exec."""
        return self.libexec / name
