"""Tests that download packages when they run, from PyPI or npm: only `make test-real` runs them."""

import os

collect_ignore_glob = [] if os.environ.get("TEST_REAL") == "1" else ["test_*.py"]
