"""One input of a recipe: a file or an address."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from chromacc_data.errors import InputError
from chromacc_data.typed_values import option

__all__ = ["Source"]


@dataclass(frozen=True)
class Source:
    """One input: a file or an address, exactly one of the two. Short form: the file or address as text."""

    file: str | None = option("path relative to the recipe's folder, or to `--sources DIR`", None)
    url: str | None = option(
        "address, downloaded once into the cache",
        None,
        pattern=(r"https?://[^/\s]+/\S+", "http(s)://HOST/PATH"),
    )
    sha256: str | None = option(
        "checksum of the file", None, pattern=(r"[0-9a-f]{64}", "64 lower-case hexadecimal digits")
    )

    def __post_init__(self) -> None:
        if (self.file is None) == (self.url is None):
            raise InputError(
                "a source is either a file or a url",
                found="neither" if self.file is None else "both",
                expected="`file: PATH` or `url: ADDRESS`",
            )

    @classmethod
    def from_text(cls, text: str) -> dict[str, str]:
        """Keys that the short form stands for."""
        return {"url" if "://" in text else "file": text}

    @staticmethod
    def from_list(files: list[str]) -> InputError:
        """What is wrong with a list, and how to make one file of it."""
        names = " ".join(shlex.quote(file) for file in files) or "A.bed B.bed"
        first, *others = files or ["A.bed", "B.bed"]
        of_cell_type = (
            f"if they are of one cell type, write `source: {first}` and `replicates: [{', '.join(others)}]`"
        )
        if len(files) == 1:
            remedy = f"write it without brackets: {names}"
        elif any(file.lower().endswith((".bw", ".bigwig")) for file in files):
            remedy = (
                f"{of_cell_type}; or give each bigWig a cell type of its own, or join them: "
                "bigWigMerge A.bw B.bw OUT.bedGraph"
            )
        else:
            remedy = f"join the files: `gzip -dcf {names} | bedtools sort > joined.bed`, and name joined.bed"
            if "://" in names:
                remedy = f"download them, and {remedy}"
            remedy = f"{of_cell_type}; or {remedy}"
        return InputError(
            "a list where one file is expected",
            found=", ".join(files) or "a list",
            expected="one file or address",
            remedy=remedy,
        )

    def __str__(self) -> str:
        return str(self.file if self.url is None else self.url)
