"""telemetry_agent: sums up the fleet every ten seconds, from the daemon's own figures.

Asks number 500 (telemetry) on the agent socket, the one that ASM_SOCKET names, as any agent may.
What it prints are differences since the last answer: syscalls a second, CPU shares, and who
restarted. While the daemon is away it says so once and goes on trying. SIGTERM ends it with code 0.

Run by the interpreter of the installation, for the client library.
"""

import json
import os
import signal
import sys
import time
from typing import Any

from supervisord_asm.api.client import AGENT_SOCKET, Client, ClientError

TELEMETRY = 500
# Room for about a thousand agents; a smaller buffer would be answered with less.
ANSWER_BYTES = 512 * 1024
PERIOD_SECONDS = 10.0
# How many of the busiest agents a line names.
BUSIEST = 3


def increase(now: Any, before: Any) -> int:
    """Return by how much a counter rose; 0 when one of the two is not known."""
    return max(0, now - before) if isinstance(now, int) and isinstance(before, int) else 0


def summary(now: dict[str, Any], before: dict[str, Any], seconds: float) -> str:
    """Compare two answers of number 500 that lie `seconds` apart."""
    syscalls = increase(now["system"]["total_syscalls"], before["system"]["total_syscalls"])
    shares, restarts = [], []
    for agent_id, figures in now["agents"].items():
        earlier = before["agents"].get(agent_id, {})
        cpu_us = increase(figures.get("cpu_time_us"), earlier.get("cpu_time_us"))
        shares.append((cpu_us / seconds / 10_000, agent_id))
        if count := increase(figures.get("total_restarts"), earlier.get("total_restarts")):
            restarts.append(f"agent {agent_id} restarted" + (f" {count} times" * (count > 1)))
    busiest = ", ".join(
        f"agent {agent_id} {share:.1f} %"
        for share, agent_id in sorted(shares, reverse=True)[:BUSIEST]
    )
    parts = [
        f"{now['system']['active_agents']} agents active",
        f"{syscalls / seconds:.0f} syscalls/s",
        f"{sum(share for share, _ in shares):.1f} % of a core, most by {busiest or 'nobody'}",
        *restarts,
    ]
    return "; ".join(parts)


def ask(client: Client) -> dict[str, Any]:
    """Ask for the telemetry once. Raises ClientError, or OSError for a negative result."""
    result, answer = client.call(TELEMETRY, (ANSWER_BYTES, 0, 0, 0))
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    telemetry: dict[str, Any] = json.loads(answer)
    return telemetry


def main() -> int:
    sys.stdout.reconfigure(line_buffering=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    socket_path = os.environ.get("ASM_SOCKET", AGENT_SOCKET)
    before: dict[str, Any] | None = None
    asked_at = 0.0
    is_away = False
    while True:
        try:
            with Client(socket_path) as client:
                now = ask(client)
            answered_at = time.monotonic()
            if before is not None:
                print(summary(now, before, answered_at - asked_at))
            else:
                print(f"asmd answers on {socket_path}: {now['agents_total']} agents known")
            before, asked_at, is_away = now, answered_at, False
        except (ClientError, OSError) as error:
            if not is_away:
                print(f"no telemetry: {error}; trying on", file=sys.stderr)
            before, is_away = None, True
        if signal.sigtimedwait({signal.SIGTERM}, PERIOD_SECONDS):
            print("stopping")
            return 0


if __name__ == "__main__":
    sys.exit(main())
