"""A kernel that refuses what the one of this machine can do."""

import ctypes
import platform
import struct

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_FCNTL = {"x86_64": 72, "aarch64": 25}


def refuse_fcntl(command: int, error: int) -> None:
    """From now on, in this process, `fcntl` with this command fails with this error."""
    # The number of the system call is at 0, its second argument at 24.
    steps = (
        (_LOAD, 0, 0, 0),
        (_JUMP_EQUAL, 0, 3, _FCNTL[platform.machine()]),
        (_LOAD, 0, 0, 24),
        (_JUMP_EQUAL, 0, 1, command),
        (_RETURN, 0, 0, _FAIL | error),
        (_RETURN, 0, 0, _ALLOW),
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HP", len(steps), ctypes.addressof(code)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for arguments in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program, 0, 0)):
        assert prctl(*arguments) == 0, ctypes.get_errno()
