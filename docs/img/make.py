"""Takes the picture of the README: `.venv/bin/python docs/img/make.py http://127.0.0.1:8000`, with a fresh database."""

import sys

from playwright.sync_api import sync_playwright

QUESTION = "What is an idempotent request, and why does a retry need one?"
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]

with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGS)
    page = browser.new_context(viewport={"width": 1280, "height": 1000}, device_scale_factor=1.5).new_page()
    page.goto(sys.argv[1])
    for text in (QUESTION, "Give me three names for a service that watches disks.", QUESTION):
        page.fill("#field-input", text)
        page.select_option("#field-parameters-tone", "simple")
        with page.expect_response("**/generate/answer"):
            page.click("#generate-button")
        page.wait_for_selector("#output")
    page.click("text=System prompt")
    page.screenshot(path="docs/img/generate.png", full_page=True)
    browser.close()
