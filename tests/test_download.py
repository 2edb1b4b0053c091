from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from chromacc_data.download import ResumingDownloader

BODY = b"chr1\t0\t10\n" * 20_000


class _Handler(BaseHTTPRequestHandler):
    """Answers that the standard allows: with a length, in chunks, until the connection closes, compressed."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind = self.path.strip("/")
        body = gzip.compress(BODY) if kind == "compressed" else BODY
        self.send_response(200)
        if kind == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        elif kind == "closed":
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(body)))
        if kind == "compressed":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        if kind == "chunked":
            for first in range(0, len(body), 50_000):
                part = body[first : first + 50_000]
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("have", [0, 1000])
@pytest.mark.parametrize("show_progress", [False, True])
@pytest.mark.parametrize("kind", ["plain", "chunked", "closed", "compressed"])
def test_downloader__whatever_the_standard_allows(
    server: str, tmp_path: Path, kind: str, show_progress: bool, have: int
):
    part = tmp_path / "part"
    if have:  # the server ignores Range, and sends the whole file
        part.write_bytes(b"x" * have)
        part.with_name("part.validator").write_text('"tag"')
    downloader = ResumingDownloader(part, attempts=1, show_progress=show_progress)
    downloader(f"{server}/{kind}")
    assert part.read_bytes() == BODY
    assert not part.with_name("part.validator").exists()
