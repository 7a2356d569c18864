"""The counter that one writes first with BCC: syscalls by cgroup, in a hash. Ends with its input.

Run by Debian's own interpreter, whose package python3-bpfcc is. Takes a second to compile, then
says "ready". BCC_KERNEL_SOURCE names the kernel's headers where they lie elsewhere.
"""

import sys

from bcc import BPF  # type: ignore[import-not-found]  # Debian's, not of our environment

PROGRAM = """
BPF_HASH(counts, u64, u64);
TRACEPOINT_PROBE(raw_syscalls, sys_enter)
{
	u64 id = bpf_get_current_cgroup_id();

	counts.increment(id);
	return 0;
}
"""

if __name__ == "__main__":
    held = BPF(text=PROGRAM)
    print("ready", flush=True)
    sys.stdin.read()
