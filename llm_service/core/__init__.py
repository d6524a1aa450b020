"""The rules of the service: no Flask, no SQL, no HTTP, no environment. Clock and id maker are arguments.

`setup.cfg` holds this folder to that promise (import-linter), and a test imports it in a fresh interpreter.
"""
