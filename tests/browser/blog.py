"""Somebody else's server: a folder of pages under another host name than the demo's."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from demo.ui import snippets
from tests.browser.conftest import BLOG_HOST, INSECURE_HOST


class QuietHandler(SimpleHTTPRequestHandler):
    """A web server that says nothing; the bundle on a CDN may be loaded from anywhere."""

    def log_message(self, *_: object) -> None:
        """Tests have their own reports."""

    def end_headers(self) -> None:
        """As a CDN does."""
        self.send_header("access-control-allow-origin", "*")
        super().end_headers()


class Blog:
    """A folder that is served under another host name than the demo's."""

    def __init__(self, folder: Path, app: str = "") -> None:
        self.folder = folder
        self.app = app.replace("127.0.0.1", INSECURE_HOST)
        handler = partial(QuietHandler, directory=str(folder))
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://{BLOG_HOST}:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def post(self, body: str, style: str = "") -> str:
        """Publishes a post and returns its address; the snippets in it name the demo."""
        text = snippets.addressed(body, self.app)
        page = f"<!doctype html><html lang=en><title>Post</title><style>{style}</style>{text}"
        # Each under a name of its own: a browser keeps what it has seen.
        name = f"{len(list(self.folder.glob('*.html')))}.html"
        (self.folder / name).write_text(page, encoding="utf-8")
        return f"{self.url}/{name}"

    def close(self) -> None:
        """Serves nothing any more."""
        self.server.shutdown()
        self.server.server_close()
