"""A downloader that resumes a broken download, tries again, and says what went wrong.

What has arrived is kept in a file, and the rest is asked for (HTTP Range, RFC 9110 section 14) under the
condition that the server's file is still the same one (If-Range).
"""

from __future__ import annotations

import logging
import re
import shutil
import time
import urllib.parse
from pathlib import Path

import requests
import urllib3

from chromacc_data.errors import InputError
from chromacc_data.files import disk_errors
from chromacc_data.progress import progress_bar

__all__ = ["ResumingDownloader"]

LOG = logging.getLogger("chromacc")

_BLOCK = 1 << 16  # what a killed process loses at most
_TIMEOUT = (30, 60)  # seconds to connect, and between two blocks
_TRANSIENT = (408, 425, 429)  # and every 5xx


class _TransientError(Exception):
    """A failure that another attempt may not have."""


class ResumingDownloader:
    """Downloads an address into a file: ``downloader(url)``.

    Parameters
    ----------
    part
        The file; kept when the download breaks off, and continued by the next one. What identifies the
        server's file is kept in ``PART.validator`` until the download is whole.
    attempts
        Attempts without a new byte after which it gives up.
    backoff
        Seconds before the second attempt; doubled for each further one.
    show_progress
        Whether a bar is shown.
    """

    def __init__(
        self, part: Path, *, attempts: int = 5, backoff: float = 1.0, show_progress: bool = False
    ) -> None:
        self.part, self.attempts, self.backoff, self.show_progress = part, attempts, backoff, show_progress
        #: What identifies the server's file whose first bytes are in `part` (an ETag or a date).
        self._validator_file = part.with_name(part.name + ".validator")

    def __call__(self, url: str) -> None:
        """Download `url` whole, or raise.

        Raises
        ------
        InputError
            For an address that does not exist, a server that cannot be reached or keeps breaking off, and a
            full disk.
        """
        most, failures = self._size(), 0
        while True:
            try:
                self._continue(url)
                break
            except _TransientError as error:
                # The count of attempts restarts whenever bytes arrived that no attempt had fetched before.
                failures = 1 if self._size() > most else failures + 1
                most = max(most, self._size())
                if failures >= self.attempts:
                    raise InputError(
                        f"the download failed {failures} times",
                        where=url,
                        found=f"{error}; {most:,} bytes arrived",
                        remedy="check the network and run the same command again to resume; "
                        "or download the file another way and name its folder with --sources",
                    ) from error
                wait = self.backoff * 2 ** (failures - 1)
                LOG.info("%s: %s; trying again in %g s", url, error, wait)
                time.sleep(wait)
        self._validator_file.unlink(missing_ok=True)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self._validator_file.unlink(missing_ok=True)

    def _continue(self, url: str) -> None:
        """One attempt: ask for the bytes that are missing and append them."""
        have = self._size()
        # The bytes as they are stored: a transparent gzip would change their number.
        headers = {"Accept-Encoding": "identity"}
        validator = self._validator_file.read_text() if self._validator_file.exists() else ""
        if have and validator:
            headers |= {"Range": f"bytes={have}-", "If-Range": validator}
        try:
            response = requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT)
        except (requests.ConnectionError, requests.Timeout) as error:
            raise _TransientError(f"no answer from {url.split('/')[2]} ({_cause(error)})") from error
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError) as error:
            raise _TransientError(f"the response was broken ({_cause(error)})") from error
        except requests.RequestException as error:
            raise InputError(
                "cannot be downloaded", where=url, found=error, remedy="check the address"
            ) from error
        with response:
            if self._is_complete(response, have):
                return
            self._check_status(response, url)
            if response.status_code != requests.codes.partial_content:
                have = 0
            elif not re.match(rf"bytes\s+{have}-", response.headers.get("Content-Range", ""), re.I):
                self._discard()  # several parts, or another range: the next attempt asks for the whole file
                raise _TransientError("the server sent a different range than requested")
            self._append(response, have, url)

    def _is_complete(self, response: requests.Response, have: int) -> bool:
        """Whether the server says that nothing comes after the bytes we have (a run killed at the end)."""
        beyond = response.status_code == requests.codes.requested_range_not_satisfiable
        if beyond and response.headers.get("Content-Range") != f"bytes */{have}":
            self._discard()
            raise _TransientError("the server's file has changed its length")
        return beyond

    def _check_status(self, response: requests.Response, url: str) -> None:
        status = f"{response.status_code} {response.reason}"
        if response.status_code in _TRANSIENT or response.status_code >= 500:
            raise _TransientError(f"the server answered {status}")
        if not response.ok:
            raise InputError(
                "the server does not give this file",
                where=url,
                found=status,
                expected="200 OK",
                remedy="check the address; or download the file another way and name its folder with "
                "--sources",
            )

    def _append(self, response: requests.Response, have: int, url: str) -> None:
        """Write the body of an answer behind the first `have` bytes; all of it, or raise."""
        length = response.headers.get("Content-Length", "").strip()
        chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
        # Some servers compress although they are asked not to: the length is then that of what is sent.
        # Others say "gzip" of a file that is stored so: that one is kept as it is.
        stored = urllib.parse.urlsplit(url).path.endswith((".gz", ".bgz", ".tgz"))
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        encoded = encoding not in ("", "identity") and not stored
        total = have + int(length) if length.isdecimal() and not chunked and not encoded else None
        with disk_errors(self.part):
            self._check_space(total, have)
            if not have:
                self._discard()
                # Without a length, or compressed, bytes that follow those that came cannot be asked for.
                self._validator_file.write_text("" if encoded else _validator(response))
            name = url.rpartition("/")[2]
            bar = progress_bar(total, unit="B", description=name, show=self.show_progress)
            with self.part.open("ab") as file, bar:
                bar.update(have)
                try:
                    for block in response.raw.stream(_BLOCK, decode_content=encoded):
                        file.write(block)
                        bar.update(len(block))
                except (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
                    raise _TransientError(f"the connection broke ({_cause(error)})") from error
        if total is not None and self._size() != total:
            raise _TransientError(f"{self._size():,} of {total:,} bytes arrived")

    def _check_space(self, total: int | None, have: int) -> None:
        free = shutil.disk_usage(self.part.parent).free
        if total is not None and total - have > free:
            raise InputError(
                "not enough room for this download",
                where=self.part.parent,
                found=f"{free:,} bytes free",
                expected=f"{total - have:,} bytes",
                remedy="free space, or put the cache elsewhere (XDG_CACHE_HOME)",
            )


def _validator(response: requests.Response) -> str:
    """What If-Range may hold: a strong ETag, else the date of the file; empty without either."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _cause(error: BaseException) -> str:
    """Innermost message of a chain of network errors, without the addresses of Python objects."""
    while error.__context__ is not None:
        error = error.__context__
    return re.sub(r"<[^>]*>:? ?", "", str(error)) or type(error).__name__
