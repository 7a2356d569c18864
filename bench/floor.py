"""The floor in Python: posix_spawn, a pidfd per agent in one epoll, and nothing else.

floor.py N AGENT FILE
"""

import os
import select
import sys


def main() -> None:
    """Spawn N agents; spawn again whoever ends."""
    count, agent, file = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    epoll = select.epoll()
    index_of: dict[int, int] = {}

    def spawn(index: int) -> None:
        pid = os.posix_spawn(agent, [agent, str(index), file], os.environ)
        pidfd = os.pidfd_open(pid)
        index_of[pidfd] = index
        epoll.register(pidfd, select.EPOLLIN)

    for index in range(count):
        spawn(index)
    while True:
        for pidfd, _ in epoll.poll():
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
            os.close(pidfd)
            spawn(index_of.pop(pidfd))


if __name__ == "__main__":
    main()
