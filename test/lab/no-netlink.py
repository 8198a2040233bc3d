"""
Runs a command that may open no netlink socket, so that it cannot list network interfaces: what Android and systemd's
RestrictAddressFamilies do. Exits with 77 where there is no seccomp.

    python3 no-netlink.py COMMAND ARGS...
"""
import ctypes
import errno
import os
import platform
import struct
import sys

AF_NETLINK = 16
SOCKET = {'x86_64': (0xC000003E, 41), 'aarch64': (0xC00000B7, 198)}
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EAFNOSUPPORT


def filter_bytes(architecture, socket):
    # Of struct seccomp_data: nr at 0, arch at 4, the first argument at 16.
    program = [
        (LOAD, 0, 0, 4),
        (JUMP_EQUAL, 0, 5, architecture),
        (LOAD, 0, 0, 0),
        (JUMP_EQUAL, 0, 3, socket),
        (LOAD, 0, 0, 16),
        (JUMP_EQUAL, 0, 1, AF_NETLINK),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    ]
    return b''.join(struct.pack('HBBI', *instruction) for instruction in program), len(program)


def main():
    if platform.machine() not in SOCKET:
        sys.exit(77)
    code, length = filter_bytes(*SOCKET[platform.machine()])
    buffer = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: a length, and after padding a pointer.
    program = ctypes.create_string_buffer(struct.pack('HxxxxxxP', length, ctypes.addressof(buffer)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        sys.exit(77)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0) != 0:
        sys.exit(77)
    os.execvp(sys.argv[1], sys.argv[1:])


main()
