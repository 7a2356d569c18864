"""One virtual machine: start it, pass its output through, end it in time, unpack its results.

Emulated (TCG), or KVM where a stock kernel really boots under it: a /dev/kvm that opens proves
nothing, for on machines that are themselves virtual it may be there and hang.
"""

import os
import selectors
import signal
import subprocess
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.vm.cache import Cache, digest
from tests.vm.emulator import Emulator
from tests.vm.image import Image

# Under emulation: every CPU feature that qemu knows, but page tables of four levels, not five.
CPU = {"tcg": "max,la57=off", "kvm": "host"}
ACCELERATOR = {"tcg": "tcg,thread=multi", "kvm": "kvm"}
# A kernel prints its first line within 1 s under KVM where that works at all.
KVM_TRIAL_S = 5

# Facts of the machine, then of the kernel: what it does is tested here, never how fast.
KERNEL_LINE = (
    "root=/dev/vda rw console=ttyS0 panic=-1 mitigations=off nokaslr fsck.mode=skip audit=0 "
    "net.ifnames=0 systemd.show_status=1 systemd.log_color=0"
)

# What is taken from what the guest hands out.
RESULTS = ("status", "junit.xml", "journal")

# Let others of this machine go first.
NICE = ("nice", "-n", "5")
# The machine ends with its runner, also if that is killed.
BOUND = ("setpriv", "--pdeathsig", "KILL")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a machine ended."""

    timed_out: bool
    booted_s: float | None
    """From the start of qemu to the first output of the suite; None: it never came."""
    took_s: float
    qemu_status: int


def choose_accelerator(cache: Cache, emulator: Emulator, vmlinuz: Path) -> str:
    """Return "kvm" if stock kernels run under it here, else "tcg"; tried once per machine."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"

    def build(folder: Path) -> None:
        """Try it."""
        (folder / "chosen").write_text(try_kvm(emulator, vmlinuz))

    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    return (cache.entry("accelerator", digest(boot), build) / "chosen").read_text()


def try_kvm(emulator: Emulator, vmlinuz: Path) -> str:
    """Return "kvm" if the kernel gets as far as its first message under it, else "tcg"."""
    command = [
        *BOUND, *emulator.command, "-M", "q35", "-cpu", CPU["kvm"], "-accel", "kvm",
        "-m", "512", "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot",
        "-kernel", str(vmlinuz), "-append", "console=ttyS0 earlyprintk=serial panic=-1",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, timeout=KVM_TRIAL_S, check=False,
                              stdin=subprocess.DEVNULL)  # fmt: skip
        printed = done.stdout
    except subprocess.TimeoutExpired as late:
        printed = late.stdout or b""
    return "kvm" if b"Linux version" in printed else "tcg"


def qemu_command(
    emulator: Emulator, image: Image, drive: Path, folder: Path, accelerator: str, *, keep: bool
) -> list[str]:
    """Return the command line. Output of the suite is qemu's standard output."""
    root = f"file={image.disk},if=virtio,format=raw,cache=unsafe"
    return [
        *BOUND, *NICE, *emulator.command, "-M", "q35", "-nodefaults", "-no-user-config",
        "-cpu", CPU[accelerator], "-accel", ACCELERATOR[accelerator], "-smp", "2", "-m", "2G",
        "-display", "none", "-monitor", "none", "-no-reboot", "-net", "none",
        "-kernel", str(image.vmlinuz), "-initrd", str(image.initrd), "-append", KERNEL_LINE,
        # The image stays as it is: what the guest writes goes into a nameless file.
        "-drive", root if keep else f"{root},snapshot=on",
        "-drive", f"file={drive},if=virtio,format=raw,readonly=on",
        "-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng",
        "-serial", f"file:{folder / 'console.log'}",
        "-device", "virtio-serial-pci",
        # Not the stdio device: at the end of its standard input it hangs up on the guest.
        "-chardev", "file,id=output,path=/dev/stdout",
        "-device", "virtserialport,chardev=output,name=asm.output",
        "-chardev", f"file,id=results,path={folder / 'results.tar'}",
        "-device", "virtserialport,chardev=results,name=asm.results",
    ]  # fmt: skip


def run_machine(command: list[str], log: Path, limit_s: float) -> Ending:
    """Run qemu until it ends or the limit is reached; print and log what the suite says."""
    begun_s = time.monotonic()
    booted_s: float | None = None
    timed_out = False
    environment = {**os.environ, "TMPDIR": os.environ.get("TMPDIR", "/var/tmp")}
    with (
        log.open("wb") as copy,
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=complaints, env=environment) as qemu,
        selectors.DefaultSelector() as selector,
    ):  # fmt: skip
        assert qemu.stdout is not None
        selector.register(qemu.stdout, selectors.EVENT_READ)
        try:
            while True:
                left_s = begun_s + limit_s - time.monotonic()
                if left_s <= 0:
                    timed_out = True
                    break
                if not selector.select(left_s):
                    continue
                chunk = os.read(qemu.stdout.fileno(), 65536)
                if not chunk:
                    break
                booted_s = booted_s or time.monotonic() - begun_s
                copy.write(chunk)
                copy.flush()
                os.write(1, chunk.replace(b"\r\n", b"\n"))
        finally:
            if timed_out or qemu.poll() is None:
                finish(qemu, at_once=timed_out)
        complaints.seek(0)
        os.write(2, complaints.read())
        return Ending(timed_out, booted_s, time.monotonic() - begun_s, qemu.returncode)


def finish(qemu: subprocess.Popen[bytes], *, at_once: bool) -> None:
    """Wait a little for a machine that has closed its output; then, or at once, kill it."""
    if not at_once:
        try:
            qemu.wait(10)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            pass  # killed below
    if qemu.poll() is None:
        qemu.send_signal(signal.SIGKILL)
        qemu.wait()


def unpack_results(folder: Path) -> int | None:
    """Unpack what the guest handed out; return the suite's exit status, None if there is none."""
    archive = folder / "results.tar"
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if Path(member.name).name in RESULTS and member.isfile():
                    content = tar.extractfile(member)
                    assert content is not None, "isfile() said that it has content"
                    (folder / Path(member.name).name).write_bytes(content.read())
    except (tarfile.TarError, OSError):
        return None  # the machine ended before the suite did; the caller shows the console
    archive.unlink()
    status = folder / "status"
    return int(status.read_text()) if status.exists() else None
