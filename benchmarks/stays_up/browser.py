"""Chromium for a trial, where there is one."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

from benchmarks.stays_up.app import NotHere
from tests.browser.conftest import browser_arguments, executable


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window.

    Raises:
        NotHere: this machine has none.
    """
    try:
        path = executable()
    except pytest.skip.Exception as reason:
        raise NotHere(str(reason)) from None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(browser_arguments()))
        try:
            yield browser
        finally:
            browser.close()
