"""Whether KVM can really run a 64-bit guest, by asking it to; run as a program it prints why not.

Nested virtualisation may offer a /dev/kvm that opens, makes virtual CPUs and even boots real-mode code
in its instruction emulator, but cannot run a kernel. So a few 64-bit instructions are run, among them
``lock cmpxchg16b``, which every Linux kernel uses and such emulators lack. It is meant to run in a child
process, which a time limit can end, and it imports nothing of qvirt. The ioctls are those of Linux's
Documentation/virt/kvm/api.rst.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import struct
import sys
from pathlib import Path

DEVICE = Path("/dev/kvm")

_GET_API_VERSION, _CREATE_VM, _GET_VCPU_MMAP_SIZE = 0xAE00, 0xAE01, 0xAE04
_CREATE_VCPU, _SET_USER_MEMORY_REGION, _RUN = 0xAE41, 0x4020AE46, 0xAE80
_SET_REGS, _GET_SREGS, _SET_SREGS = 0x4090AE82, 0x8138AE83, 0x4138AE84
_GET_SUPPORTED_CPUID, _SET_CPUID2 = 0xC008AE05, 0x4008AE90

_EXIT_IO = 2
_EXITS = {5: "halt", 8: "shutdown", 9: "failed entry", 17: "internal error"}

_MEMORY = 2 << 20
_PML4, _PDPT, _PD, _DATA, _CODE, _STACK = 0x1000, 0x2000, 0x3000, 0x8000, 0x8100, 0x9000
_PORT = 0xF4
# xor eax,eax; xor edx,edx; xor ecx,ecx; mov ebx,1; mov esi,_DATA; lock cmpxchg16b [rsi];
# mov al,0x10; out _PORT,al; hlt
_INSTRUCTIONS = bytes.fromhex("31c0 31d2 31c9 bb01000000 be00800000 f0480fc70e b010 e6f4 f4")


def unusable(device: Path = DEVICE) -> str | None:
    """Why KVM cannot be used, None where it can."""
    try:
        kvm = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return f"{device} does not exist"
    except OSError as error:
        denied = error.errno in (errno.EACCES, errno.EPERM)
        return f"{device}: {'permission denied' if denied else error.strerror}"
    try:
        if fcntl.ioctl(kvm, _GET_API_VERSION, 0) != 12:
            return f"{device} does not speak KVM's API version 12"
        vm = fcntl.ioctl(kvm, _CREATE_VM, 0)
        return _run(kvm, vm) if os.uname().machine == "x86_64" else None
    except OSError as error:
        return f"{device} opens, but a virtual machine cannot be made: {error.strerror}"
    finally:
        os.close(kvm)


def _run(kvm: int, vm: int) -> str | None:
    memory = mmap.mmap(-1, _MEMORY)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    fcntl.ioctl(vm, _SET_USER_MEMORY_REGION, struct.pack("<IIQQQ", 0, 0, 0, _MEMORY, address))
    # Page tables of three levels that map the first 2 MiB to themselves: present, writable, large page.
    for place, entry in ((_PML4, _PDPT | 3), (_PDPT, _PD | 3), (_PD, 0x83)):
        struct.pack_into("<Q", memory, place, entry)
    memory[_CODE : _CODE + len(_INSTRUCTIONS)] = _INSTRUCTIONS

    cpu = fcntl.ioctl(vm, _CREATE_VCPU, 0)
    state = mmap.mmap(cpu, fcntl.ioctl(kvm, _GET_VCPU_MMAP_SIZE, 0))
    features = bytearray(8 + 40 * 256)
    struct.pack_into("<I", features, 0, 256)
    fcntl.ioctl(kvm, _GET_SUPPORTED_CPUID, features)
    fcntl.ioctl(cpu, _SET_CPUID2, features)
    _enter_long_mode(cpu)
    registers = [0] * 18  # rax rbx rcx rdx rsi rdi rsp rbp r8-r15 rip rflags
    registers[6], registers[16], registers[17] = _STACK, _CODE, 2
    fcntl.ioctl(cpu, _SET_REGS, struct.pack("<18Q", *registers))

    fcntl.ioctl(cpu, _RUN, 0)
    (reason,) = struct.unpack_from("<I", state, 8)
    (port,) = struct.unpack_from("<H", state, 34)
    if reason == _EXIT_IO and port == _PORT:
        return None
    return f"KVM opens but cannot run a 64-bit guest: {_EXITS.get(reason, f'exit reason {reason}')}"


def _enter_long_mode(cpu: int) -> None:
    sregs = bytearray(312)
    fcntl.ioctl(cpu, _GET_SREGS, sregs)

    def segment(index: int, selector: int, kind: int, big: int, long: int) -> None:
        # base, limit, selector, type, present, dpl, db, s, l, g, avl, unusable, padding
        fields = (0, 0xFFFFFFFF, selector, kind, 1, 0, big, 1, long, 1, 0, 0, 0)
        struct.pack_into("<QIH10B", sregs, 24 * index, *fields)

    segment(0, 8, 11, 0, 1)
    for index in range(1, 6):
        segment(index, 16, 3, 1, 0)
    # cr0: paging, protection; cr3: the page tables; cr4: PAE; efer: long mode enabled and active.
    struct.pack_into("<4Q", sregs, 224, 0x80000011, 0, _PML4, 0x20)
    struct.pack_into("<Q", sregs, 264, 0x500)
    fcntl.ioctl(cpu, _SET_SREGS, bytes(sregs))


if __name__ == "__main__":
    sys.stdout.write(unusable() or "")
