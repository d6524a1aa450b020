"""Looking at other owners' rows: with a key of scope `admin`, and never unseen."""

from ..context import caller, services
from ..http.errors import NotAllowed
from ..http.security_log import record


def owner_of(request_id: str) -> str:
    """Whose row a request means by this id: the caller's own, or with `admin` that of whoever has it."""
    asking = caller()
    if not asking.sees_everyone:
        return asking.owner
    found = services().history.owner_of(request_id)
    if found is None:
        return asking.owner
    if found != asking.owner:
        record("looked across", of=found, generation=request_id)
    return found


def owner_named(name: str | None) -> str:
    """Whose rows a request means that may name an owner.

    Raises `NotAllowed`.
    """
    asking = caller()
    if name is None or name == asking.owner:
        return asking.owner
    if not asking.sees_everyone:
        record("denied", reason="scope", needs="admin")
        raise NotAllowed("Only a key of scope admin may look at another owner's rows.")
    record("looked across", of=name)
    return name


def usage_of(name: str | None, *, of_all: bool) -> str | None:
    """Whose sums a request means; None = everybody's, which `of_all` asks for where the caller may see them.

    Raises `NotAllowed`.
    """
    if name is None and of_all and caller().sees_everyone:
        record("looked across", of="everyone")
        return None
    return owner_named(name)
