"""asmd: reads its configuration, starts the daemon, runs the loop.

Exit status: 0 after a shutdown that was asked for (asmctl shutdown, SIGTERM: agents go on); 75
(EX_TEMPFAIL) after SIGUSR2, which asks to be started again; 78 (EX_CONFIG) for a bad configuration
or a second daemon, which starting again would not cure; 1 for everything else. After 75 and 1 the
keeper or systemd starts it again. SIGHUP reads the configuration again, as asmctl reload does.
"""

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import sys
from pathlib import Path

from supervisord_asm import __version__
from supervisord_asm.configuration import ConfigurationErrors, load_configuration
from supervisord_asm.daemon.lock import AlreadyRunning
from supervisord_asm.daemon.own_log import set_up_logging
from supervisord_asm.daemon.wiring import Daemon
from supervisord_asm.kernel.cgroupfs import NoCgroup2
from supervisord_asm.kernel.keeper_channel import KeeperError, KeeperTooOld
from supervisord_asm.store.errors import JournalError

EXIT_CONFIG = 78  # sysexits.h; asm-keeper knows it
EXIT_AGAIN = 75
# How long the loop may keep the interpreter from the journal's thread. Python's own 5 ms would be
# waited for several times in each commit while a thousand agents start (docs/journal.md).
SWITCH_INTERVAL_S = 0.0005
logger = logging.getLogger("asmd")


def main(arguments: list[str] | None = None) -> int:
    """Run asmd until it is told to leave. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="asmd", description="the agent supervision daemon")
    parser.add_argument("--config", default="/etc/asm/asm.yaml", help="asm.yaml to read")
    parser.add_argument("--version", action="version", version=f"asmd {__version__}")
    options = parser.parse_args(arguments)
    asm_yaml = Path(options.config)
    if os.geteuid() != 0:
        print("asmd: must run as root: it makes cgroups and loads BPF programs", file=sys.stderr)
        return EXIT_CONFIG
    try:
        configuration = load_configuration(asm_yaml)
    except ConfigurationErrors as error:
        for item in error.errors:
            print(item, file=sys.stderr)
        print(f"asmd: not started: {len(error.errors)} error(s)", file=sys.stderr)
        return EXIT_CONFIG
    protect_self()
    daemon = Daemon(configuration, asm_yaml)
    set_up_logging(daemon.paths.daemon_log)
    try:
        return asyncio.run(run(daemon))
    except (AlreadyRunning, KeeperTooOld) as error:
        return fail(str(error), EXIT_CONFIG)
    except (NoCgroup2, JournalError, KeeperError, OSError) as error:
        return fail(f"unable to start: {error}", 1)


def fail(text: str, status: int) -> int:
    """Say why we leave, where people look first."""
    logger.critical("%s", text)
    print(f"asmd: {text}", file=sys.stderr)
    return status


async def run(daemon: Daemon) -> int:
    """Start, then serve until the end; close in any case, while the loop still runs."""
    try:
        await daemon.start()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, daemon.shut_down, "keep")
        loop.add_signal_handler(signal.SIGUSR2, daemon.shut_down, "keep", EXIT_AGAIN)
        loop.add_signal_handler(signal.SIGHUP, daemon.reload)
        # What lives now lives long: keep the collector from walking it again and again.
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        gc.collect()
        gc.freeze()
        return await daemon.done
    finally:
        daemon.close()


def protect_self() -> None:
    """Agents go before us when memory is short (CONTRACT, Programs: -900); descriptors suffice."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("-900")


if __name__ == "__main__":
    sys.exit(main())
