"""A system call filter: what no prover needs and no namespace confines.

For sandboxes it is classic BPF over ``struct seccomp_data`` (linux/seccomp.h), for container engines whose own default
has holes a profile in the OCI runtime-spec's terms. The calls refused are those
that act on the whole kernel or could undo the confinement; each needs a privilege that the program
lacks anyway, but most kernel escapes began with one of them.
"""

from __future__ import annotations

import errno
import json
import platform
import struct

_LD_ABS, _JEQ, _JGE, _RET = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCH, _ARGUMENT_0 = 0, 4, 16
_X32 = 0x40000000
# Address families that a network namespace doesn't confine or that reach into the kernel: ALG, VSOCK.
_FAMILIES = (38, 40)
# Flags of clone(2) that make namespaces: time, mount, cgroup, uts, ipc, user, pid, net.
_NAMESPACES = (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)

_GENERIC = {  # one number on every architecture
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "pidfd_getfd": 438, "mount_setattr": 442,
}  # fmt: skip
_X86_64 = {
    "ptrace": 101, "kcmp": 312,
    "pivot_root": 155, "chroot": 161, "acct": 163, "settimeofday": 164, "mount": 165, "umount2": 166,
    "swapon": 167, "swapoff": 168, "reboot": 169, "iopl": 172, "ioperm": 173, "init_module": 175,
    "delete_module": 176, "quotactl": 179, "clock_settime": 227, "kexec_load": 246, "add_key": 248,
    "request_key": 249, "keyctl": 250, "unshare": 272, "perf_event_open": 298, "name_to_handle_at": 303,
    "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311,
    "finit_module": 313, "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323, "syslog": 103,
}  # fmt: skip
_AARCH64 = {
    "umount2": 39, "mount": 40, "pivot_root": 41, "chroot": 51, "quotactl": 60, "acct": 89, "unshare": 97,
    "kexec_load": 104, "init_module": 105, "delete_module": 106, "clock_settime": 112, "syslog": 116,
    "reboot": 142, "settimeofday": 170, "add_key": 217, "request_key": 218, "keyctl": 219, "swapon": 224,
    "swapoff": 225, "perf_event_open": 241, "name_to_handle_at": 264, "open_by_handle_at": 265, "setns": 268,
    "process_vm_readv": 270, "process_vm_writev": 271, "finit_module": 273, "bpf": 280, "userfaultfd": 282,
    "ptrace": 117, "kcmp": 272,
    "kexec_file_load": 294,
}  # fmt: skip
_MACHINES = {  # audit architecture, socket(2), refused calls
    "x86_64": (0xC000003E, 41, _X86_64),
    "aarch64": (0xC00000B7, 198, _AARCH64),
}
_OCI_ARCHITECTURES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}


def seccomp_filter() -> bytes | None:
    """The filter for this machine, or ``None`` on an architecture whose numbers aren't known here."""
    machine = platform.machine()
    if machine not in _MACHINES:
        return None
    architecture, socket, refused = _MACHINES[machine]
    numbers = sorted({*refused.values(), *_GENERIC.values()})
    # The end of the program, which the jumps below aim at: allow, refuse the family, refuse, kill.
    tail = [
        (_RET, 0, 0, _ALLOW),
        (_RET, 0, 0, _ERRNO | errno.EAFNOSUPPORT),
        (_RET, 0, 0, _ERRNO | errno.EPERM),
        (_RET, 0, 0, _KILL),
    ]
    allow, no_family, refuse, kill = range(4)
    body: list[tuple[int, int | None, int | None, int]] = [
        (_LD_ABS, None, None, _ARCH),
        (_JEQ, None, kill, architecture),
        (_LD_ABS, None, None, _NUMBER),
        (_JGE, refuse, None, _X32),
        *((_JEQ, refuse, None, number) for number in numbers),
        (_JEQ, None, allow, socket),
        (_LD_ABS, None, None, _ARGUMENT_0),
        *((_JEQ, no_family, None, family) for family in _FAMILIES),
    ]
    program = b""
    for index, (code, yes, no, value) in enumerate(body):
        to_tail = len(body) - index - 1
        program += struct.pack(
            "=HBBI", code, 0 if yes is None else to_tail + yes, 0 if no is None else to_tail + no, value
        )
    return program + b"".join(struct.pack("=HBBI", *instruction) for instruction in tail)


def engine_profile() -> str | None:
    """The same as a seccomp profile for a container engine (JSON), with no namespaces besides.

    In a sandbox bubblewrap sees to the namespaces; an engine leaves them to the filter.
    """
    machine = platform.machine()
    if machine not in _MACHINES:
        return None
    refused = _MACHINES[machine][2]
    rules: list[dict[str, object]] = [
        {"names": sorted({*refused, *_GENERIC}), "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EPERM},
        # Its flags lie in memory, out of a filter's reach; every C library falls back to clone.
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS},
    ]
    for family in _FAMILIES:
        condition = {"index": 0, "value": family, "op": "SCMP_CMP_EQ"}
        rules.append(_conditional("socket", condition, errno.EAFNOSUPPORT))
    for flag in _NAMESPACES:
        condition = {"index": 0, "value": flag, "valueTwo": flag, "op": "SCMP_CMP_MASKED_EQ"}
        rules.append(_conditional("clone", condition, errno.EPERM))
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": [_OCI_ARCHITECTURES[machine]],
        "syscalls": rules,
    }
    return json.dumps(profile)


def _conditional(call: str, condition: dict[str, object], code: int) -> dict[str, object]:
    return {"names": [call], "action": "SCMP_ACT_ERRNO", "errnoRet": code, "args": [condition]}
