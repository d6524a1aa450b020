"""The database file's file system and owner."""

import os
import pwd
from pathlib import Path

from ..errors import DatabaseFault

MOUNTS = Path("/proc/mounts")
# WAL needs memory that all processes share: one machine and a local disk.
NETWORK_TYPES = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "afs",
        "ceph",
        "glusterfs",
        "lustre",
        "9p",
        "ncpfs",
        "ocfs2",
        "gfs2",
        "beegfs",
    }
)
_NETWORK_FUSE = frozenset({"fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.davfs"})


def refuse_network(path: Path) -> None:
    """Raise `DatabaseFault` for a file on a network file system. Does nothing if the type is unknown."""
    mounts = MOUNTS.read_text(encoding="utf-8", errors="replace") if MOUNTS.exists() else ""
    kind = type_at(path.resolve(), mounts)
    if kind in NETWORK_TYPES | _NETWORK_FUSE:
        raise DatabaseFault(
            f"DATABASE_URL: {path} is on a network file system ({kind}), where SQLite's log does not work and the "
            "history would be damaged. Use a local disk."
        )


def type_at(path: Path, mounts: str) -> str | None:
    """The type of the file system of an absolute path. `mounts` is the text of `/proc/mounts`."""
    found: tuple[int, str] | None = None
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        # Spaces and similar characters are escaped in octal.
        point = Path(fields[1].encode().decode("unicode_escape"))
        if path.is_relative_to(point) and (found is None or len(point.parts) >= found[0]):
            found = len(point.parts), fields[2]
    return found[1] if found else None


def owners(path: Path) -> str:
    """The owner of the file, or of the nearest folder that exists, and the user of this process."""
    there = next(place for place in (path, *path.parents) if place.exists())
    return f"{there} belongs to {_name(there.stat().st_uid)}, and this process is {_name(os.geteuid())}."


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
