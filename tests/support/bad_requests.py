"""The rows of the list of bad inputs that are plain requests."""

import json

from tests.support.bad_input import Bad
from tests.support.requests import BODY

HISTORY, MISSING = "/api/v1/history", "019ab3f0-5f1e-7c3a-9d55-3d1c0a7b2e11"
EVIL_HOST = {"headers": {"Host": "evil.example"}}


def read(number: int, name: str, path: str, status: int, error: str | None = None, **headers: str) -> Bad:
    sent = {"headers": {key.replace("_", "-"): value for key, value in headers.items()}}
    return Bad(number, name, status, error, sent, "GET", path)


def keyed(name: str, key: str) -> Bad:
    return Bad(103, name, 400, "invalid-idempotency-key", {"json": BODY, "headers": {"Idempotency-Key": key}})


def listed(number: int, query: str, status: int = 422, error: str | None = "invalid-input") -> Bad:
    return read(number, query[:40], f"{HISTORY}?{query}", status, error)


ROWS = [
    *[Bad(71, method, 405, "method-not-allowed", method=method) for method in ("PUT", "PATCH", "DELETE", "TRACE", "FOO")],
    Bad(72, "method override", 405, "method-not-allowed", {"headers": {"X-HTTP-Method-Override": "POST"}}, "DELETE"),
    read(72, "another override", "/api/v1/health", 200, X_HTTP_Method="DELETE"),
    Bad(73, "foreign host", 400, "untrusted-host", EVIL_HOST, "GET", "/api/v1/health"),
    Bad(73, "foreign host, generate", 400, "untrusted-host", {**EVIL_HOST, "json": BODY}),
    Bad(73, "an address as a name", 400, "untrusted-host", {"headers": {"Host": "127.0.0.1.nip.io"}}, "GET", "/api/v1/status"),
    Bad(73, "a dot at the end", 400, "untrusted-host", {"headers": {"Host": "localhost."}}, "GET", "/api/v1/status"),
    read(77, "forwarded host", "/api/v1/health", 200, X_Forwarded_Host="evil.example", X_Forwarded_Proto="https"),
    read(77, "forwarded host, closed", "/api/v1/status", 401, "not-authenticated", X_Forwarded_Host="localhost"),
    read(81, "a thousand ranges", f"{HISTORY}/export", 200, Range="bytes=" + "0-1," * 1000 + "0-1"),
    read(82, "a range behind the end", f"{HISTORY}/export", 200, Range="bytes=99999-"),
    read(82, "a range behind the end of a file", "/static/css/app.css", 416, Range="bytes=9999999-"),
    read(82, "a range of junk", "/static/css/app.css", 416, Range="bytes=a-b,-,--1"),
    read(83, "any version", "/static/css/app.css", 304, If_None_Match="*"),
    read(83, "junk dates", "/static/css/app.css", 200, If_Modified_Since="yesterday", If_None_Match='W/"', If_Range="\x7f"),
    read(83, "any version of what has none", "/api/v1/health", 200, If_None_Match="*", If_Modified_Since="0"),
    *[listed(86, f"{name}={value}") for name in ("limit", "page") for value in ("0", "-1", "1e9", "NaN", "", "1000000000", "1.5", "1x", "%EF%BC%91", "1_0", "%2B1", "%201")],
    listed(87, "limit=1&limit=2"),
    listed(87, "q=a&q=a"),
    listed(88, "q=" + "a" * 100_000),
    listed(88, "q=%00", 200, None),
    listed(88, "q=%ff", 200, None),
    listed(88, "q=';DROP TABLE answers", 200, None),
    listed(88, "q=%25_", 200, None),
    listed(88, "unknown=1"),
    listed(88, "%00=1"),
    listed(88, "&".join(f"k{n}=1" for n in range(2000))),
    *[read(90, name[:20], f"{HISTORY}/{name}", 404, "not-found") for name in ("x" * 5000, "-1", "0", "%2e%2e", "%00", MISSING.upper(), f"{MISSING}%0a", "' OR 1=1")],
    Bad(101, "a foreign page's fetch", 403, "csrf", {"data": json.dumps(BODY), "content_type": "text/plain", "headers": {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"}}),
    Bad(101, "a foreign page's fetch without a type", 403, "csrf", {"data": json.dumps(BODY), "headers": {"Sec-Fetch-Site": "cross-site"}}),
    Bad(101, "text/plain by itself", 415, "unsupported-media-type", {"data": json.dumps(BODY), "content_type": "text/plain"}),
    Bad(101, "a form of an old browser", 403, "csrf", {"data": {"input": "a"}, "headers": {"Origin": "null"}}),
    keyed("empty", ""),
    keyed("256 characters", "a" * 256),
    keyed("NUL", "a\x00"),
    keyed("not ASCII", "k\u00e9y"),
    keyed("SQL", "' OR 1=1 --"),
    keyed("quotes alone", '""'),
    keyed("a list", "a, b"),
]  # fmt: skip
# Tested below by tests of their own.
NAMED = {89, 91, 109, 110}
