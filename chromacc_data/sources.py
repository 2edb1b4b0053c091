"""Sources of a recipe to local files: found beside the recipe or in a folder, or downloaded once and checked.

Downloads are pooch's, into a cache. The SHA-256 of a file is recorded there on first use, in pooch's registry
format, and checked ever after; a checksum in the recipe comes before it. A file has its final name only when
it is whole and its checksum is right, and two processes that want the same file wait for each other.
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

import platformdirs
import pooch

from chromacc_data.download import ResumingDownloader
from chromacc_data.errors import InputError
from chromacc_data.files import disk_errors, file_digest, locked, write_text_atomically
from chromacc_data.recipe import Source

__all__ = ["default_cache_dir", "file_digest", "resolve", "resolve_fasta"]

LOG = logging.getLogger("chromacc")

#: Name of the registry in the cache: lines of `file sha256 address`, pooch's format.
REGISTRY = "registry.txt"

_GZIP_MAGIC = b"\x1f\x8b"
_BGZIP_MAGIC = b"\x1f\x8b\x08\x04"
_BLOCK = 1 << 20
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


def default_cache_dir() -> Path:
    """Folder that downloads are kept in: the user's cache (``XDG_CACHE_HOME``), ``chromacc/sources``."""
    return platformdirs.user_cache_path("chromacc") / "sources"


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
    """Local FASTA that can be read from the middle: as :func:`resolve`, but plain gzip is unpacked.

    A plain or bgzip file is returned as it is. A plain gzip one is unpacked once, in a folder of the cache
    that is named by its checksum.
    """
    cache_dir = cache_dir or default_cache_dir()
    path = resolve(source, base=base, cache_dir=cache_dir, **options)
    with path.open("rb") as file:
        magic = file.read(4)
    if not magic.startswith(_GZIP_MAGIC) or magic == _BGZIP_MAGIC:
        return path
    return _unpacked(path, cache_dir)


def _checked(path: Path, source: Source) -> Path:
    """The same path, if it is a file with the checksum of the recipe."""
    if not path.is_file():
        raise InputError("not a file", where=path, expected="a file", remedy="correct the path in the recipe")
    if source.sha256 is not None and file_digest(path) != source.sha256:
        raise InputError(
            "not the file that the recipe means",
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
    with _cache_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / f"{name}.lock", wait=True, what="download"):
            recorded = _read_registry(folder).registry.get(name)
            expected = source.sha256 or recorded
            if path.is_file() and expected in (None, file_digest(path)):
                LOG.debug("%s: in the cache, %s", source.url, path)
            else:
                if path.is_file():
                    LOG.warning("%s is not the file it was: downloading it again", path)
                _download(source, path, expected, show_progress)
            if recorded != file_digest(path):
                _record(folder, name, file_digest(path), source.url)
    return path


def _download(source: Source, path: Path, expected: str | None, show_progress: bool) -> None:
    downloader = _CheckingDownloader(path.with_name(path.name + ".part"), show_progress=show_progress)
    # Our own log and bar say what happens.
    pooch.get_logger().setLevel(logging.WARNING)
    fetcher = pooch.create(
        path=path.parent, base_url="", registry={path.name: expected}, urls={path.name: source.url}
    )
    try:
        fetcher.fetch(path.name, downloader=downloader)
    except InputError:
        raise
    except ValueError as error:  # pooch's word for another checksum
        in_recipe = expected == source.sha256
        raise InputError(
            "the file at this address is not the one "
            + ("that the recipe means" if in_recipe else "that was downloaded before"),
            where=source.url,
            found=f"SHA-256 {downloader.digest}",
            expected=f"SHA-256 {expected}",
            remedy="if the new file is right, "
            + (
                "correct `sha256` in the recipe"
                if in_recipe
                else f"remove its line from {path.parent / REGISTRY}"
            ),
        ) from error


class _CheckingDownloader(ResumingDownloader):
    """Looks at what arrived before pooch compares its checksum."""

    digest = ""

    def __call__(self, url: str, output_file: str, pooch: object, check_only: bool = False) -> None:
        super().__call__(url, output_file, pooch)
        self.digest = file_digest(Path(output_file))
        with Path(output_file).open("rb") as file:
            head = file.read(60)
        # A portal's or an error page under status 200 would else be recorded as the right file.
        if _basename(url).endswith(".gz") and not head.startswith(_GZIP_MAGIC):
            raise InputError(
                "the server sent something else", where=url, found=repr(head[:40]), expected="a gzip file"
            )


def _read_registry(folder: Path) -> pooch.Pooch:
    registry = pooch.create(path=folder, base_url="", registry={})
    file = folder / REGISTRY
    if file.is_file():
        try:
            registry.load_registry(file)
        except (OSError, ValueError) as error:
            raise InputError(
                "the record of checksums is damaged",
                where=file,
                found=error,
                remedy="correct or remove the line",
            ) from error
    return registry


def _record(folder: Path, name: str, digest: str, url: str) -> None:
    """Write a checksum to the registry; processes that record other files at the same time wait."""
    with locked(folder / f"{REGISTRY}.lock", wait=True, what="record"):
        registry = _read_registry(folder)
        registry.registry[name], registry.urls[name] = digest, url
        lines = [f"{n} {d} {registry.urls.get(n, '')}".rstrip() for n, d in sorted(registry.registry.items())]
        write_text_atomically(folder / REGISTRY, "\n".join(lines) + "\n")
    LOG.info("%s: recorded SHA-256 %s", url, digest)


def _unpacked(path: Path, cache_dir: Path) -> Path:
    folder = cache_dir / "fasta" / file_digest(path)[:16]
    target = folder / (path.name.removesuffix(".gz") if path.suffix == ".gz" else path.name + ".fa")
    with _cache_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / "lock", wait=True, what="FASTA"):
            if target.is_file():
                return target
            LOG.info("%s: unpacking plain gzip to %s", path, target)
            part = target.with_name(target.name + ".part")
            try:
                _gunzip(path, part)
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
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
    with disk_errors(folder):
        try:
            yield
        except OSError as error:
            if error.errno not in _CLOSED:
                raise
            raise InputError(
                "the cache cannot be written",
                where=folder,
                found=error.strerror,
                remedy="make it writable, or put the cache elsewhere (XDG_CACHE_HOME)",
            ) from error


def _basename(url: str) -> str:
    """Last part of an address's path as a file name."""
    name = urllib.parse.unquote(urllib.parse.urlsplit(url).path).rpartition("/")[2]
    return re.sub(r"[^\w.+-]", "_", name) or "file"
