"""What the tests in a browser share."""

from playwright.sync_api import Dialog, Page, ViewportSize

PHONE: dict[str, ViewportSize] = {"viewport": {"width": 375, "height": 700}}


def generate(page: Page, text: str) -> None:
    page.fill("#field-input", text)
    page.click("#generate-button")


class Watch:
    """What a page must never do: say a CSP violation, raise, ask another origin, open a dialog."""

    def __init__(self, page: Page, origin: str) -> None:
        self.wrong: list[str] = []
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
        # Chromium writes a line for every answer of 4xx and 5xx; those are meant.
        if not text.startswith("Failed to load resource"):
            self.wrong.append(f"console: {text}")
