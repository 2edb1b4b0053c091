from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from chromacc_data.errors import InputError
from chromacc_data.sources.download import ResumingDownloader

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


class _Odd(BaseHTTPRequestHandler):
    """Answers to a range that are allowed but rare, or wrong."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        asked = self.headers["Range"]
        self.asked.append(asked)
        kind = self.path.strip("/")
        if kind == "empty":
            self._send(200, b"")
        elif kind == "longer":
            self._send(200, BODY, length=len(BODY) + 10)
        elif asked is None:
            self._send(200, BODY)
        elif kind == "multipart":
            part = f"--x\r\nContent-Range: bytes 1000-{len(BODY) - 1}/{len(BODY)}\r\n\r\n".encode()
            self._send(206, part + BODY[1000:] + b"\r\n--x--\r\n", type="multipart/byteranges; boundary=x")
        elif kind == "changed":
            self._send(416, b"", range="bytes */7")

    def _send(self, status: int, body: bytes, *, length: int | None = None, type="text/plain", range=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.send_header("Content-Type", type)
        self.send_header("ETag", '"tag"')
        if range:
            self.send_header("Content-Range", range)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def odd() -> Iterator[str]:
    _Odd.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), _Odd) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.mark.parametrize("kind", ["multipart", "changed"])
def test_downloader__asks_for_the_whole_file_after_an_odd_range(odd: str, tmp_path: Path, kind: str):
    part = tmp_path / "part"
    part.write_bytes(BODY[:1000])
    part.with_name("part.validator").write_text('"tag"')
    ResumingDownloader(part, attempts=2, backoff=0)(f"{odd}/{kind}")
    assert part.read_bytes() == BODY
    assert _Odd.asked == ["bytes=1000-", None]


def test_downloader__an_empty_file(odd: str, tmp_path: Path):
    ResumingDownloader(tmp_path / "part", attempts=1)(f"{odd}/empty")
    assert (tmp_path / "part").read_bytes() == b""


def test_downloader__a_length_that_never_comes(odd: str, tmp_path: Path):
    with pytest.raises(InputError, match="the download failed 1 times") as caught:
        ResumingDownloader(tmp_path / "part", attempts=1)(f"{odd}/longer")
    assert f"{len(BODY):,} bytes arrived" in caught.value.found
