"""Local files for a recipe's sources: next to the recipe, in a folder, or downloaded once and checked.

Downloads go into a cache. The SHA-256 of a file is recorded there on first use and checked ever after; a
checksum in the recipe comes before it. A file has its final name only when it is whole and its checksum is
right, and two processes that want the same file wait for each other.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import logging
import re
import shutil
import urllib.parse
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from chromacc_data.errors import InputError, NotWritableError
from chromacc_data.files import (
    GZIP_MAGIC,
    disk_errors,
    file_digest,
    hold_working_folder,
    locked,
    publish,
    remove_working_folder,
    user_cache,
    working_folder,
    write_text_atomically,
)
from chromacc_data.recipe.recipe import Source
from chromacc_data.sources.download import ResumingDownloader
from chromacc_data.typed_values import read_text

__all__ = ["default_cache_dir", "file_digest", "resolve", "resolve_fasta"]

LOG = logging.getLogger("chromacc")

#: Name of the record of checksums in the cache: lines of `file sha256 address`.
REGISTRY = "registry.txt"

_BGZIP_MAGIC = b"\x1f\x8b\x08\x04"
_BLOCK = 1 << 20
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


def default_cache_dir() -> Path:
    """Folder that downloads are kept in: the user's cache (``XDG_CACHE_HOME``), ``chromacc/sources``."""
    return user_cache() / "sources"


def resolve(
    source: Source,
    *,
    base: Path,
    sources_dir: Path | None = None,
    cache_dir: Path | None = None,
    show_progress: bool = False,
) -> Path:
    """Local file of a source, whole and with the right checksum.

    Parameters
    ----------
    source
        File or address.
    base
        Folder that files are relative to: the recipe's.
    sources_dir
        Folder that is looked in first: for ``file: a/b.bed`` as ``a/b.bed``, for an address by its last part.
    cache_dir
        Where downloads are kept; :func:`default_cache_dir` when absent.
    show_progress
        Whether a bar is shown for each download.

    Raises
    ------
    InputError
        For a file that is not there, an address that cannot be had, and a checksum that differs.
    """
    if sources_dir is not None and not sources_dir.is_dir():
        raise InputError("no such folder", where=f"--sources {sources_dir}", remedy="check the path")
    name = source.file or _basename(source.url)
    candidates = [] if sources_dir is None else [sources_dir / name]
    if source.url is None:
        candidates.append(base / name)
    for path in candidates:
        if path.exists():
            return _checked(path.absolute(), source)
    if source.url is None:
        raise InputError(
            "no such file",
            where=source.file,
            found="looked at " + " and ".join(str(path) for path in candidates),
            remedy="put it there, or name the folder that has it with --sources",
        )
    return _downloaded(source, cache_dir or default_cache_dir(), show_progress)


def resolve_fasta(source: Source, *, base: Path, cache_dir: Path | None = None, **options: object) -> Path:
    """Local FASTA with random access: as :func:`resolve`, but plain gzip is unpacked.

    A plain or bgzip file is returned as it is. A plain gzip one is unpacked once, in a folder of the cache
    that is named by its checksum.
    """
    cache_dir = cache_dir or default_cache_dir()
    path = resolve(source, base=base, cache_dir=cache_dir, **options)
    with path.open("rb") as file:
        magic = file.read(4)
    if not magic.startswith(GZIP_MAGIC) or magic == _BGZIP_MAGIC:
        return path
    return _unpacked(path, cache_dir)


def _checked(path: Path, source: Source) -> Path:
    """The same path, if it is a file with the checksum of the recipe."""
    if not path.is_file():
        raise InputError("not a file", where=path, expected="a file", remedy="correct the path in the recipe")
    if source.sha256 is not None and file_digest(path) != source.sha256:
        raise InputError(
            "not the file that the recipe specifies",
            where=path,
            found=f"SHA-256 {file_digest(path)}",
            expected=f"SHA-256 {source.sha256}",
            remedy="get the right file, or correct `sha256` in the recipe",
        )
    return path


def _downloaded(source: Source, cache_dir: Path, show_progress: bool) -> Path:
    """File of an address in the cache, downloaded if it is not there or not what was recorded."""
    folder = cache_dir / "downloads"
    # Files of one name at different addresses are different files.
    name = f"{hashlib.sha256(source.url.encode()).hexdigest()[:12]}-{_basename(source.url)}"
    path = folder / name
    with (
        _cache_errors(folder),
        hold_working_folder(path, wait=True, hidden=True, what="download") as working,
    ):
        part = working / name
        try:
            recorded = _read_registry(folder).get(name, _NOT_RECORDED).sha256
            expected = source.sha256 or recorded
            if path.is_file() and expected in (None, file_digest(path)):
                LOG.debug("%s: in the cache, %s", source.url, path)
            else:
                if path.is_file():
                    LOG.warning("%s has changed: downloading it again", path)
                _download(source, part, recorded, folder, show_progress)
                publish(part, path)
            if recorded != file_digest(path):
                _record(folder, name, _Recorded(file_digest(path), source.url))
        finally:
            if not part.exists():  # nothing that the next run could resume from
                remove_working_folder(working)
    return path


def _download(source: Source, part: Path, recorded: str | None, folder: Path, show_progress: bool) -> None:
    ResumingDownloader(part, show_progress=show_progress)(source.url)
    try:
        _require_right_file(part, source, recorded, folder)
    except InputError:
        part.unlink()
        raise


def _require_right_file(part: Path, source: Source, recorded: str | None, folder: Path) -> None:
    """Raise for a file that is not what its name or its checksum says."""
    with part.open("rb") as file:
        head = file.read(60)
    # A portal's or an error page under status 200 would else be recorded as the right file.
    if _basename(source.url).endswith(".gz") and not head.startswith(GZIP_MAGIC):
        raise InputError(
            "the server sent something else",
            where=source.url,
            found=repr(head[:40]),
            expected="a gzip file",
            remedy="download the file another way and name its folder with --sources",
        )
    expected = source.sha256 or recorded
    if expected in (None, file_digest(part)):
        return
    if source.sha256:
        whose, remedy = "that the recipe means", "correct `sha256` in the recipe"
    else:
        whose, remedy = "that was downloaded before", f"remove its line from {folder / REGISTRY}"
    raise InputError(
        f"the file at this address is not the one {whose}",
        where=source.url,
        found=f"SHA-256 {file_digest(part)}",
        expected=f"SHA-256 {expected}",
        remedy=f"if the new file is right, {remedy}",
    )


class _Recorded(NamedTuple):
    """A line of the record of checksums."""

    sha256: str | None
    url: str


_NOT_RECORDED = _Recorded(None, "")


def _read_registry(folder: Path) -> dict[str, _Recorded]:
    """The checksums on record, by file name."""
    file = folder / REGISTRY
    if not file.is_file():
        return {}
    recorded = {}
    for number, line in enumerate(read_text(file).splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) not in (2, 3) or not re.fullmatch("[0-9a-f]{64}", words[1]):
            raise InputError(
                "the record of checksums is damaged",
                where=f"{file}:{number}",
                found=repr(line[:80]),
                expected="a file, its SHA-256 and its address",
                remedy="correct or remove the line",
            )
        recorded[words[0]] = _Recorded(*words[1:], *[""][: 3 - len(words)])
    return recorded


def _record(folder: Path, name: str, file: _Recorded) -> None:
    """Add a file to the record; processes that record other files at the same time wait."""
    with locked(folder / f"{REGISTRY}.lock", wait=True, what="record"):
        lines = sorted((_read_registry(folder) | {name: file}).items())
        text = "".join(f"{name} {sha256} {url}".rstrip() + "\n" for name, (sha256, url) in lines)
        write_text_atomically(folder / REGISTRY, text)
    LOG.info("%s: recorded SHA-256 %s", file.url, file.sha256)


def _unpacked(path: Path, cache_dir: Path) -> Path:
    folder = cache_dir / "fasta" / file_digest(path)[:16]
    target = folder / (path.name.removesuffix(".gz") if path.suffix == ".gz" else path.name + ".fa")
    with _cache_errors(folder):
        if not target.is_file():
            with working_folder(target, wait=True, hidden=True, what="FASTA") as working:
                if not target.is_file():  # another process may have unpacked it while this one waited
                    LOG.info("%s: unpacking plain gzip to %s", path, target)
                    _gunzip(path, working / target.name)
                    publish(working / target.name, target)
    return target


def _gunzip(path: Path, out: Path) -> None:
    try:
        with gzip.open(path) as packed, out.open("wb") as file:
            shutil.copyfileobj(packed, file, _BLOCK)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            "this gzip file is damaged or half-written",
            where=path,
            found=error,
            remedy="copy or download it again",
        ) from error


@contextmanager
def _cache_errors(folder: Path) -> Iterator[None]:
    """Say of a full or closed cache folder what to do."""
    try:
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            yield
    except (OSError, NotWritableError) as error:
        if isinstance(error, OSError) and error.errno not in _CLOSED:
            raise
        raise InputError(
            "the cache cannot be written",
            where=folder,
            found=getattr(error, "strerror", None) or error.found,
            remedy="make it writable, or put the cache elsewhere (XDG_CACHE_HOME)",
        ) from error


def _basename(url: str) -> str:
    """Last part of an address's path as a file name."""
    name = urllib.parse.unquote(urllib.parse.urlsplit(url).path).rpartition("/")[2]
    return re.sub(r"[^\w.+-]", "_", name) or "file"
