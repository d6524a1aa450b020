"""What each route needs of who calls it. A route that is not in this table opens for nobody (a test finds it first)."""

from collections.abc import Mapping
from enum import Enum

from llm_service.core.access.caller import Scope


class Need(Enum):
    """`OPEN`: nothing. `UNASKED`: nothing, and nobody looks who it is, so that it answers without a database.

    `SOMEBODY`: any key, whatever its scopes.
    """

    OPEN = "open"
    UNASKED = "unasked"
    SOMEBODY = "somebody"


ROUTE_PERMISSIONS: Mapping[str, Scope | Need] = {
    "static": Need.UNASKED,
    "health.health": Need.UNASKED,
    "health.ready": Need.UNASKED,
    "problems.show": Need.OPEN,
    "login.show": Need.OPEN,
    "login.sign_in": Need.OPEN,
    "login.sign_out": Need.SOMEBODY,
    "docs.document": Need.SOMEBODY,
    "docs.show": Need.SOMEBODY,
    "health.status": Need.SOMEBODY,
    "limits.index": Need.SOMEBODY,
    "status_page.show": Need.SOMEBODY,
    "templates.index": Need.SOMEBODY,
    "templates.show": Need.SOMEBODY,
    "templates_page.index": Need.SOMEBODY,
    "templates_page.show": Need.SOMEBODY,
    "generate.generate_help": Scope.GENERATE,
    "generate.generate": Scope.GENERATE,
    "templates.generate": Scope.GENERATE,
    "templates.preview": Scope.GENERATE,
    "generate_page.show": Scope.GENERATE,
    "generate_page.submit": Scope.GENERATE,
    "generate_page.answer": Scope.GENERATE,
    "generate_page.fields": Scope.GENERATE,
    "generate_page.preview": Scope.GENERATE,
    "generate_page.payload": Scope.GENERATE,
    # Who may begin a generation may stop it.
    "history.cancel": Scope.GENERATE,
    "history_page.cancel": Scope.GENERATE,
    "generate_page.events": Scope.HISTORY,
    "generate_page.recent": Scope.HISTORY,
    "history.index": Scope.HISTORY,
    "history.clear": Scope.HISTORY,
    "history.export": Scope.HISTORY,
    "history.show": Scope.HISTORY,
    "history.delete": Scope.HISTORY,
    "history.output": Scope.HISTORY,
    "history.events": Scope.HISTORY,
    "history_page.index": Scope.HISTORY,
    "history_page.rows": Scope.HISTORY,
    "history_page.show": Scope.HISTORY,
    "history_page.output": Scope.HISTORY,
    "history_page.export": Scope.HISTORY,
    "history_page.delete": Scope.HISTORY,
    "history_page.clear": Scope.HISTORY,
    "usage.index": Scope.USAGE,
    "usage_page.index": Scope.USAGE,
    "cache.clear": Scope.ADMIN,
}
