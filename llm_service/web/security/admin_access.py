"""Access to other owners' rows: for keys with the scope `admin`, and always logged."""

from ..context import caller, services
from ..http.errors import NotAllowed
from ..http.security_log import log_security_event


def resolve_generation_owner(request_id: str) -> str:
    """The owner to look the row up for: the caller, or for `admin` the row's own owner."""
    current = caller()
    if not current.sees_everyone:
        return current.owner
    found = services().history.owner_of(request_id)
    if found is None:
        return current.owner
    if found != current.owner:
        log_security_event("looked across", of=found, generation=request_id)
    return found


def resolve_owner(name: str | None) -> str:
    """The owner that a request names; the caller where it names none.

    Raises `NotAllowed`.
    """
    current = caller()
    if name is None or name == current.owner:
        return current.owner
    if not current.sees_everyone:
        log_security_event("denied", reason="scope", needs="admin")
        raise NotAllowed('Only a key with the "admin" scope may read another owner\'s data.')
    log_security_event("looked across", of=name)
    return name


def resolve_usage_owner(name: str | None, *, all_owners: bool) -> str | None:
    """The owner whose usage to sum; None = all owners, if `all_owners` asks for them and the caller may see them.

    Raises `NotAllowed`.
    """
    if name is None and all_owners and caller().sees_everyone:
        log_security_event("looked across", of="everyone")
        return None
    return resolve_owner(name)
