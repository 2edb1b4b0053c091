"""Sources: files found, downloaded, resumed, checked and unpacked, from a local server that misbehaves."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import multiprocessing
import os
import re
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from Bio import bgzf

from chromacc_data.errors import InputError
from chromacc_data.files import name_working_folder
from chromacc_data.recipe.recipe import Source
from chromacc_data.sources import download
from chromacc_data.sources import resolve as sources
from chromacc_data.sources.resolve import default_cache_dir, file_digest, resolve, resolve_fasta

BODY = bytes(range(256)) * 4096  # 1 MiB


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; before that, one entry of `mishaps` for each request.

    A mishap is a status to answer with, or a function that gets the handler and the body and answers itself.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.mishaps: list = []
        self.ranges: list[str | None] = []
        self.validators = True

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self):
        self.server.ranges.append(self.headers["Range"])
        mishap = self.server.mishaps.pop(0) if self.server.mishaps else None
        body = self.server.files.get(self.path)
        if isinstance(mishap, int) or body is None:
            self.answer(mishap or 404, b"<html>sorry</html>")
        elif mishap is not None:
            mishap(self, body)
        else:
            self.give(body)

    def give(self, body: bytes):
        """The file, or the range of it that was asked for."""
        etag = f'"{hashlib.md5(body).hexdigest()}"' if self.server.validators else None
        begin = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        if begin is None or self.headers["If-Range"] != etag:
            self.answer(200, body, ETag=etag)
        elif int(begin[1]) >= len(body):
            self.answer(416, b"", Content_Range=f"bytes */{len(body)}")
        else:
            start = int(begin[1])
            place = f"bytes {start}-{len(body) - 1}/{len(body)}"
            self.answer(206, body[start:], ETag=etag, Content_Range=place)

    def answer(self, status: int, body: bytes, *, length: int | None = None, **headers: str | None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def breaks_off(handler: Handler, body: bytes):
    """Promises the whole body (or range), sends half of it and hangs up."""
    start = int(re.findall(r"\d+", handler.headers["Range"] or "0")[0])
    rest = body[start:]
    headers = {"ETag": f'"{hashlib.md5(body).hexdigest()}"'} if handler.server.validators else {}
    if start:
        headers["Content_Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
    handler.answer(206 if start else 200, rest[: len(rest) // 2], length=len(rest), **headers)
    handler.close_connection = True


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    waits: list[float] = []
    monkeypatch.setattr(download.time, "sleep", waits.append)
    with Server() as server:
        server.waits = waits
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        server.files["/data/peaks.bed"] = BODY
        yield server
        server.shutdown()


@pytest.fixture
def fetch(server, tmp_path):
    """Resolves an address of the server; `fetch.source` says which file."""

    def fetch(path: str = "/data/peaks.bed", *, sha256: str | None = None, **options) -> Path:
        source = Source(url=server.address + path, sha256=sha256)
        return resolve(source, base=tmp_path, cache_dir=tmp_path / "cache", **options)

    return fetch


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def move_back(path: Path) -> Path:
    """Put a downloaded file where it stands while it is on its way."""
    working = name_working_folder(path, hidden=True)
    working.mkdir()
    return path.replace(working / path.name)


def finals(tmp_path: Path) -> list[str]:
    """Names in the cache that a reader could take for a whole file."""
    folder = tmp_path / "cache" / "downloads"
    return sorted(
        p.name[13:] for p in folder.glob("*") if re.fullmatch(r"[0-9a-f]{12}-[\w.]+\.(bed|gz)", p.name)
    )


def registry(tmp_path: Path) -> str:
    path = tmp_path / "cache" / "downloads" / "registry.txt"
    return path.read_text() if path.exists() else ""


# Local files


def test_resolve__file_next_to_the_recipe(tmp_path):
    (tmp_path / "peaks").mkdir()
    (tmp_path / "peaks" / "a.bed").write_bytes(b"x")
    source = Source(file="peaks/a.bed", sha256=sha256(b"x"))
    assert resolve(source, base=tmp_path) == tmp_path / "peaks" / "a.bed"


def test_resolve__sources_dir_comes_first(tmp_path):
    for folder, body in (("base", b"x"), ("other", b"y")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.bed").write_bytes(body)
    source, other = Source(file="a.bed"), tmp_path / "other"
    assert resolve(source, base=tmp_path / "base", sources_dir=other).read_bytes() == b"y"
    (other / "a.bed").unlink()
    assert resolve(source, base=tmp_path / "base", sources_dir=other).read_bytes() == b"x"


def test_resolve__sources_dir_holds_a_file_of_an_address(tmp_path):
    (tmp_path / "hg19.fa.gz").write_bytes(b"x")
    source = Source(url="https://example.org/a/hg19.fa.gz?download=1")
    assert resolve(source, base=tmp_path / "base", sources_dir=tmp_path) == tmp_path / "hg19.fa.gz"


def test_resolve__no_file(tmp_path):
    with pytest.raises(InputError, match="no such file") as caught:
        resolve(Source(file="a.bed"), base=tmp_path / "base", sources_dir=tmp_path)
    assert str(tmp_path / "a.bed") in str(caught.value)
    assert str(tmp_path / "base" / "a.bed") in str(caught.value)


def test_resolve__no_sources_dir(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        resolve(Source(file="a.bed"), base=tmp_path, sources_dir=tmp_path / "absent")


def test_resolve__folder(tmp_path):
    (tmp_path / "a.bed").mkdir()
    with pytest.raises(InputError, match="not a file"):
        resolve(Source(file="a.bed"), base=tmp_path)


def test_resolve__local_checksum_differs(tmp_path):
    (tmp_path / "a.bed").write_bytes(b"x")
    with pytest.raises(InputError, match="not the file that the recipe specifies") as caught:
        resolve(Source(file="a.bed", sha256="0" * 64), base=tmp_path)
    assert sha256(b"x") in str(caught.value)


# Downloads


def test_resolve__downloads_once_and_records(fetch, server, tmp_path):
    path = fetch()
    assert path.read_bytes() == BODY
    assert registry(tmp_path) == f"{path.name} {sha256(BODY)} {server.address}/data/peaks.bed\n"
    assert fetch() == path
    assert len(server.ranges) == 1
    assert finals(tmp_path) == ["peaks.bed"]


def test_resolve__cached_file_needs_no_server(fetch, server):
    path = fetch()
    server.shutdown()
    server.server_close()
    assert fetch() == path


def test_resolve__same_name_at_two_addresses(fetch, server):
    server.files["/other/peaks.bed"] = b"other"
    assert fetch().read_bytes() == BODY
    assert fetch("/other/peaks.bed").read_bytes() == b"other"
    assert fetch().read_bytes() == BODY


def test_resolve__broken_connection_is_resumed(fetch, server):
    server.mishaps = [breaks_off, breaks_off]
    assert fetch().read_bytes() == BODY
    assert server.ranges == [None, f"bytes={len(BODY) // 2}-", f"bytes={len(BODY) * 3 // 4}-"]
    assert server.waits == [1.0, 1.0]  # bytes arrived: the count of attempts restarts


def test_resolve__gives_up_and_resumes_with_the_next_command(fetch, server, tmp_path):
    server.mishaps = [breaks_off, 503, 503, 503, 503]
    with pytest.raises(InputError, match="the download failed 5 times") as caught:
        fetch()
    assert "503" in str(caught.value)
    assert f"{len(BODY) // 2:,} bytes arrived" in str(caught.value)
    assert server.waits == [1.0, 2.0, 4.0, 8.0]
    assert finals(tmp_path) == []
    assert fetch().read_bytes() == BODY
    assert server.ranges[-1] == f"bytes={len(BODY) // 2}-"


def test_resolve__without_validator_starts_again(fetch, server):
    server.validators = False
    server.mishaps = [breaks_off]
    assert fetch().read_bytes() == BODY
    assert server.ranges == [None, None]


def test_resolve__file_changes_while_resuming(fetch, server):
    def changes(handler, body):
        breaks_off(handler, body)
        server.files["/data/peaks.bed"] = BODY[::-1]

    server.mishaps = [changes]
    assert fetch().read_bytes() == BODY[::-1]


def test_resolve__another_range_than_asked_for(fetch, server):
    def shifted(handler, body):
        handler.answer(206, body[5:], Content_Range=f"bytes 5-{len(body) - 1}/{len(body)}")

    server.mishaps = [breaks_off, shifted]
    assert fetch().read_bytes() == BODY
    assert server.ranges[-1] is None


def test_resolve__killed_when_all_bytes_were_there(fetch, server, tmp_path):
    path = fetch()
    part = move_back(path)
    etag = f'"{hashlib.md5(BODY).hexdigest()}"'
    part.with_name(part.name + ".validator").write_text(etag)
    assert fetch().read_bytes() == BODY
    assert server.ranges == [None, f"bytes={len(BODY)}-"]


def test_resolve__part_longer_than_the_file(fetch, server):
    path = fetch()
    part = move_back(path)
    part.write_bytes(BODY + b"x")
    part.with_name(part.name + ".validator").write_text(f'"{hashlib.md5(BODY).hexdigest()}"')
    assert fetch().read_bytes() == BODY
    assert server.ranges == [None, f"bytes={len(BODY) + 1}-", None]


def test_resolve__server_errors_then_well(fetch, server):
    server.mishaps = [500, 429]
    assert fetch().read_bytes() == BODY
    assert server.waits == [1.0, 2.0]


def test_resolve__not_found(fetch, server, tmp_path):
    with pytest.raises(InputError, match="the server does not give this file") as caught:
        fetch("/absent.bed")
    assert "404 Not Found" in str(caught.value)
    assert server.waits == []
    assert finals(tmp_path) == []


def test_resolve__refused_connection(tmp_path, server):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/a.bed"
        with pytest.raises(InputError, match="the download failed 5 times") as caught:
            resolve(Source(url=url), base=tmp_path, cache_dir=tmp_path / "cache")
    assert "Connection refused" in str(caught.value)
    assert "--sources" in str(caught.value)


def test_resolve__endless_redirects(fetch, server):
    def redirects(handler, body):
        handler.answer(302, b"", Location="/data/peaks.bed")

    server.mishaps = [redirects] * 50
    with pytest.raises(InputError, match="cannot be downloaded"):
        fetch()


def test_resolve__truncated_each_time(fetch, server, tmp_path):
    server.validators = False
    server.mishaps = [breaks_off] * 5
    with pytest.raises(InputError, match="the download failed 5 times"):
        fetch()
    assert finals(tmp_path) == []
    assert registry(tmp_path) == ""


def test_resolve__checksum_in_the_recipe(fetch, server, tmp_path):
    with pytest.raises(InputError, match="not the one that the recipe means") as caught:
        fetch(sha256="0" * 64)
    assert sha256(BODY) in str(caught.value)
    assert "0" * 64 in str(caught.value)
    assert finals(tmp_path) == []
    assert registry(tmp_path) == ""
    assert fetch(sha256=sha256(BODY)).read_bytes() == BODY


def test_resolve__server_has_another_file_than_at_first_use(fetch, server, tmp_path):
    fetch().unlink()
    server.files["/data/peaks.bed"] = b"other"
    with pytest.raises(InputError, match="not the one that was downloaded before") as caught:
        fetch()
    assert "registry.txt" in str(caught.value)
    assert finals(tmp_path) == []
    # The recipe's word comes before the record.
    assert fetch(sha256=sha256(b"other")).read_bytes() == b"other"
    assert sha256(b"other") in registry(tmp_path)


def test_resolve__cached_file_was_damaged(fetch, server):
    path = fetch()
    path.write_bytes(BODY[:-1])
    assert fetch().read_bytes() == BODY
    assert len(server.ranges) == 2


def test_resolve__damaged_record(fetch, tmp_path):
    fetch()
    (tmp_path / "cache" / "downloads" / "registry.txt").write_text("only-a-name\n")
    with pytest.raises(InputError, match="the record of checksums is damaged"):
        fetch()


def test_resolve__page_instead_of_a_gzip_file(fetch, server, tmp_path):
    server.files["/a.bed.gz"] = b"<html>Please log in</html>"
    with pytest.raises(InputError, match="the server sent something else") as caught:
        fetch("/a.bed.gz")
    assert "Please log in" in str(caught.value)
    assert finals(tmp_path) == []
    server.files["/a.bed.gz"] = gzip.compress(b"chr1\t0\t1\n")
    assert gzip.decompress(fetch("/a.bed.gz").read_bytes()) == b"chr1\t0\t1\n"


def test_resolve__gzip_is_stored_as_it_is(fetch, server):
    # A server that calls the compression of the file one of the transfer must not have it undone.
    body = gzip.compress(b"chr1\t0\t1\n")
    server.files["/a.bed.gz"] = body
    server.mishaps = [lambda handler, body: handler.answer(200, body, Content_Encoding="gzip")]
    assert fetch("/a.bed.gz").read_bytes() == body
    assert len(server.ranges) == 1


def test_resolve__disk_too_small(fetch, monkeypatch, tmp_path):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match="not enough room") as caught:
        fetch()
    assert "1,000 bytes free" in str(caught.value)
    assert finals(tmp_path) == []


def test_resolve__disk_full_while_writing(fetch, server, monkeypatch, tmp_path):
    def full(handler, body):
        # The space goes while the body is under way.
        monkeypatch.setattr(download, "progress_bar", _full_disk)
        handler.give(body)

    server.mishaps = [full]
    with pytest.raises(InputError, match="the disk is full"):
        fetch()
    assert finals(tmp_path) == []
    monkeypatch.undo()
    assert fetch().read_bytes() == BODY


def test_resolve__cache_is_a_file(fetch, tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(InputError, match="the cache cannot be written"):
        fetch()


def test_resolve__shows_progress(fetch, capsys):
    fetch(show_progress=True)
    assert "peaks.bed" in capsys.readouterr().err


def test_resolve__threads_download_once(fetch, server):
    def slowly(handler, body):
        threading.Event().wait(0.2)
        handler.give(body)

    server.mishaps = [slowly]
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(lambda _: fetch(), range(4)))
    assert len(paths) == 1
    assert len(server.ranges) == 1


def test_resolve__threads_record_all_files(fetch, server, tmp_path, monkeypatch):
    write = sources.write_text_atomically

    def slowly(path, text):
        threading.Event().wait(0.02)
        write(path, text)

    monkeypatch.setattr(sources, "write_text_atomically", slowly)
    names = [f"/{i}.bed" for i in range(8)]
    server.files |= dict.fromkeys(names, b"x")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fetch, names))
    assert registry(tmp_path).count("\n") == 8


def test_resolve__process_killed_midway(fetch, server, tmp_path):
    arrived = threading.Event()

    def stalls(handler, body):
        handler.answer(200, body[:500_000], length=len(body), ETag=f'"{hashlib.md5(body).hexdigest()}"')
        handler.wfile.flush()
        arrived.set()
        threading.Event().wait(30)

    server.mishaps = [stalls]
    source = Source(url=server.address + "/data/peaks.bed")
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(
        target=resolve, args=(source,), kwargs={"base": tmp_path, "cache_dir": tmp_path / "cache"}
    )
    process.start()
    assert arrived.wait(60)
    folder = tmp_path / "cache" / "downloads"
    while not any(p.stat().st_size for p in folder.glob(".*.partial/*.bed")):
        threading.Event().wait(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert finals(tmp_path) == []
    assert fetch().read_bytes() == BODY
    have = int(server.ranges[-1].removeprefix("bytes=").removesuffix("-"))
    assert 0 < have <= 500_000


# FASTA


def test_resolve_fasta__plain_stays(tmp_path):
    path = tmp_path / "a.fa"
    path.write_text(">a\nACGT\n")
    assert resolve_fasta(Source(file="a.fa"), base=tmp_path, cache_dir=tmp_path / "cache") == path


def test_resolve_fasta__bgzip_stays(tmp_path):
    path = tmp_path / "a.fa.gz"
    with bgzf.BgzfWriter(path) as file:
        file.write(b">a\nACGT\n")
    assert resolve_fasta(Source(file="a.fa.gz"), base=tmp_path, cache_dir=tmp_path / "cache") == path


def test_resolve_fasta__gzip_is_unpacked_once(tmp_path):
    path, cache = tmp_path / "a.fa.gz", tmp_path / "cache"
    path.write_bytes(gzip.compress(b">a\nAC\n") + gzip.compress(b"GT\n"))
    fasta = resolve_fasta(Source(file="a.fa.gz"), base=tmp_path, cache_dir=cache)
    assert (fasta.name, fasta.read_bytes()) == ("a.fa", b">a\nAC\nGT\n")
    before = fasta.stat().st_mtime_ns
    assert resolve_fasta(Source(file="a.fa.gz"), base=tmp_path, cache_dir=cache) == fasta
    assert fasta.stat().st_mtime_ns == before
    path.write_bytes(gzip.compress(b">a\nTTTT\n"))
    other = resolve_fasta(Source(file="a.fa.gz"), base=tmp_path, cache_dir=cache)
    assert (other != fasta, other.read_bytes()) == (True, b">a\nTTTT\n")


@pytest.mark.parametrize("cut", [-4, 20])
def test_resolve_fasta__half_written_gzip(tmp_path, cut):
    packed = gzip.compress(b">a\n" + bytes(range(64, 90)) * 50)
    (tmp_path / "a.fa.gz").write_bytes(packed[:cut])
    with pytest.raises(InputError, match="damaged or half-written"):
        resolve_fasta(Source(file="a.fa.gz"), base=tmp_path, cache_dir=tmp_path / "cache")
    assert not [p.name for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_resolve_fasta__corrupt_gzip(tmp_path):
    packed = bytearray(gzip.compress(os.urandom(5000)))
    packed[2000] ^= 255
    (tmp_path / "a.fa.gz").write_bytes(packed)
    with pytest.raises(InputError, match="damaged or half-written"):
        resolve_fasta(Source(file="a.fa.gz"), base=tmp_path, cache_dir=tmp_path / "cache")


@pytest.mark.shared
def test_resolve_fasta__real_files(shared_data, tmp_path):
    options = {"base": shared_data, "cache_dir": tmp_path}
    bgzip = resolve_fasta(Source(file="genome/hg19.chr20.fa.gz"), **options)
    assert bgzip == shared_data / "genome" / "hg19.chr20.fa.gz"
    yeast = resolve_fasta(Source(file="yeast_atac/sacCer3_chrIV.fa.gz"), **options)
    assert yeast.parts[: len(tmp_path.parts)] == tmp_path.parts
    assert yeast.read_bytes()[:12] == b">chrIV\nACACC"


# Digests


def test_file_digest__follows_the_file(tmp_path):
    path = tmp_path / "a"
    for body in (b"", b"x", b"y" * 3_000_000):
        path.write_bytes(body)
        assert file_digest(path) == sha256(body)


def test_file_digest__reads_an_unchanged_file_once(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"x")
    digest = file_digest(path)
    monkeypatch.setattr(sources.hashlib, "sha256", None)
    assert file_digest(path) == digest


def test_file_digest__vanished(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        file_digest(tmp_path / "absent")


def test_default_cache_dir__is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "chromacc" / "sources"


class _full_disk:
    """A bar whose first step finds the disk full."""

    def __init__(self, *args, **options):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False

    def update(self, n: int):
        if n:
            raise OSError(28, "No space left on device")
