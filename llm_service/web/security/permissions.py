"""The permission that each route requires. A route that is missing here is closed to everyone (a test finds it first)."""

from collections.abc import Mapping
from enum import Enum

from llm_service.core.access.caller import Scope


class Access(Enum):
    """`PUBLIC`: no key. `PUBLIC_UNCHECKED`: the caller is not even looked up, so the route works without a database.

    `ANY_KEY`: any valid key, whatever its scopes.
    """

    PUBLIC = "public"
    PUBLIC_UNCHECKED = "public-unchecked"
    ANY_KEY = "any-key"


ROUTE_PERMISSIONS: Mapping[str, Scope | Access] = {
    "static": Access.PUBLIC_UNCHECKED,
    "health.health": Access.PUBLIC_UNCHECKED,
    # Who has a key sees more.
    "health.ready": Access.PUBLIC,
    "problems.show": Access.PUBLIC,
    "login.show": Access.PUBLIC,
    "login.sign_in": Access.PUBLIC,
    # How pages look in this browser: also on the sign-in page.
    "preferences_page.choose": Access.PUBLIC_UNCHECKED,
    "login.sign_out": Access.ANY_KEY,
    "docs.document": Access.ANY_KEY,
    "docs.show": Access.ANY_KEY,
    "health.status": Access.ANY_KEY,
    "limits.index": Access.ANY_KEY,
    "status_page.show": Access.ANY_KEY,
    "templates.index": Access.ANY_KEY,
    "templates.show": Access.ANY_KEY,
    "templates_page.index": Access.ANY_KEY,
    "templates_page.show": Access.ANY_KEY,
    "revisions_page.show": Access.ANY_KEY,
    "revisions_page.diff": Access.ANY_KEY,
    "generate.generate_help": Scope.GENERATE,
    "generate.generate": Scope.GENERATE,
    "templates.generate": Scope.GENERATE,
    "templates.preview": Scope.GENERATE,
    "generate_page.show": Scope.GENERATE,
    "generate_page.submit": Scope.GENERATE,
    "generate_page.answer": Scope.GENERATE,
    "generate_page.again": Scope.GENERATE,
    "generate_page.fields": Scope.GENERATE,
    "generate_page.preview": Scope.GENERATE,
    "generate_page.payload": Scope.GENERATE,
    "compare_page.show": Scope.GENERATE,
    "compare_page.submit": Scope.GENERATE,
    "compare_page.fields": Scope.GENERATE,
    "compare_page.difference": Scope.HISTORY,
    "compare_page.events": Scope.HISTORY,
    # A key that may start a generation may stop it.
    "history.cancel": Scope.GENERATE,
    "history_page.cancel": Scope.GENERATE,
    "generate_page.events": Scope.HISTORY,
    "generate_page.recent": Scope.HISTORY,
    "history.index": Scope.HISTORY,
    "history.clear": Scope.HISTORY,
    "history.export": Scope.HISTORY,
    "history.show": Scope.HISTORY,
    "history.delete": Scope.HISTORY,
    "history.mark": Scope.HISTORY,
    "history.output": Scope.HISTORY,
    "history.events": Scope.HISTORY,
    "history_page.index": Scope.HISTORY,
    "history_page.rows": Scope.HISTORY,
    "history_page.show": Scope.HISTORY,
    "history_page.output": Scope.HISTORY,
    "history_page.export": Scope.HISTORY,
    "history_page.live": Scope.HISTORY,
    "history_page.star": Scope.HISTORY,
    "history_page.tag": Scope.HISTORY,
    "history_page.export_selected": Scope.HISTORY,
    "history_page.delete_selected": Scope.HISTORY,
    "history_page.compare_selected": Scope.HISTORY,
    "history_page.delete": Scope.HISTORY,
    "history_page.clear": Scope.HISTORY,
    "usage.index": Scope.USAGE,
    "usage_page.index": Scope.USAGE,
    "cache.clear": Scope.ADMIN,
}
