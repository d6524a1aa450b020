"""What the tests in a browser share."""

from playwright.sync_api import Dialog, Page, ViewportSize

PHONE: dict[str, ViewportSize] = {"viewport": {"width": 375, "height": 700}}


def generate(page: Page, text: str) -> None:
    page.fill("#field-input", text)
    page.click("#generate-button")


class Watch:
    """What a page must never do: say a CSP violation, raise, ask another origin, open a dialog."""

    def __init__(self, page: Page, origin: str, *, network_may_fail: bool = False) -> None:
        self.wrong: list[str] = []
        # Chromium's lines for answers of 4xx and 5xx, and htmx's for requests without an answer.
        self._meant = (
            "Failed to load resource",
            *(["htmx: htmx:error", "htmx: htmx:sse:error"] if network_may_fail else []),
        )
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("dialog", self._dismiss)
        page.on("request", lambda request: self._check(request.url, origin))
        page.on("console", lambda message: self._read(message.text))

    def _dismiss(self, dialog: Dialog) -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _check(self, url: str, origin: str) -> None:
        if not url.startswith((origin, "blob:", "data:")):
            self.wrong.append(f"foreign request: {url}")

    def _read(self, text: str) -> None:
        if not text.startswith(self._meant):
            self.wrong.append(f"console: {text}")
