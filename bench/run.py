"""make bench: every bench in turn, in a process of its own; says which missed a bar.

Usage: python -m bench.run [NAME…]. Each bench compares with its floor and peers in one interleaved
run, prints its table, keeps its figures in build/bench/ and exits with 1 when it misses a bar.
"""

import subprocess
import sys
from pathlib import Path

# In the order in which a reader wants them; each is bench/NAME.py.
BENCHES = (
    "supervisors", "cli", "syscall_cost", "workloads", "sampler_pass", "churn", "fuse_read",
    "journal",
)  # fmt: skip
# None takes longer on an idle machine; a bench that hangs must not hang the rest.
TIMEOUT_S = 1_200


def main(names: list[str]) -> int:
    """Run the named benches, or all. Returns 1 when one missed a bar, 2 for a wrong name."""
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"no bench {', '.join(unknown)}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    missed = []
    for name in names or BENCHES:
        print(f"== {name}", flush=True)
        command = [sys.executable, "-m", f"bench.{name}"]
        try:
            status = subprocess.run(
                command, check=False, timeout=TIMEOUT_S, cwd=Path(__file__).parents[1]
            ).returncode
        except subprocess.TimeoutExpired:
            status = -1
        if status:
            missed.append(name)
    print(f"missed a bar or failed: {', '.join(missed)}" if missed else "every bar was reached")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
