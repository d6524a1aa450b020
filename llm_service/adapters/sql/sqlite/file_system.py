"""Where the database's file lies, and whose it is."""

import os
import pwd
from pathlib import Path

from ..errors import DatabaseFault

MOUNTS = Path("/proc/mounts")
# WAL needs memory that all processes share: on one machine, on a disk of its own.
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
    """Raise `DatabaseFault` for a file on a network file system; where that cannot be known, nothing."""
    mounts = MOUNTS.read_text(encoding="utf-8", errors="replace") if MOUNTS.exists() else ""
    kind = type_at(path.resolve(), mounts)
    if kind in NETWORK_TYPES | _NETWORK_FUSE:
        raise DatabaseFault(
            f"DATABASE_URL: {path} lies on a network file system ({kind}), where SQLite's log does not work and the "
            "history would be damaged. Use a local disk, or PostgreSQL for several machines."
        )


def type_at(path: Path, mounts: str) -> str | None:
    """The type of the file system that holds an absolute path, by the text of `/proc/mounts`."""
    found: tuple[int, str] | None = None
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        # Spaces and the like are written in octal there.
        point = Path(fields[1].encode().decode("unicode_escape"))
        if path.is_relative_to(point) and (found is None or len(point.parts) >= found[0]):
            found = len(point.parts), fields[2]
    return found[1] if found else None


def owners(path: Path) -> str:
    """Whose the file is, or the nearest folder that exists, and who asks."""
    there = next(place for place in (path, *path.parents) if place.exists())
    return f"{there} belongs to {_name(there.stat().st_uid)}, and this process is {_name(os.geteuid())}."


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
