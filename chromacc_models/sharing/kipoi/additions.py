"""What users add to a model folder: files of their own, and their edits of its texts.

Packaging a model again replaces the files of the model and keeps the rest. An edited text cannot stay in its
place, as it describes the older network: it is kept next to the new one, as ``README.md.edited``.
"""

from __future__ import annotations

import importlib.machinery
import shutil
from pathlib import Path

from chromacc_data.errors import InputError
from chromacc_data.files import file_digest
from chromacc_models.sharing.kipoi import files as kf

__all__ = ["keep_additions", "list_additions"]

#: What Kipoi may leave in a folder that is used.
_LEFT_BY_USE = ("downloaded/*",)

#: Code that Python may import from the folder, and descriptions that Kipoi may read as further models.
_REFUSED = (*importlib.machinery.all_suffixes(), ".pth", ".yaml", ".yml")


def list_additions(folder: Path) -> tuple[str, ...]:
    """Names of the files in a model folder that are not part of the model, sorted.

    Raises
    ------
    InputError
        If one of them is code or YAML, or a link that leads out of the folder.
    """
    known = {*kf.DATA_FILES, *kf.OPTIONAL_FILES, *kf.TEXT_FILES, kf.PACKAGED_CHECKSUMS}
    names = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        is_addition = path.is_symlink() or not path.is_dir()
        if not is_addition or str(name) in known or any(name.match(left) for left in _LEFT_BY_USE):
            continue
        if path.name.lower().endswith(_REFUSED):
            raise InputError(
                "a file that is not part of a model",
                where=path,
                expected="no further Python or YAML files: Kipoi might run or read them",
                remedy="remove it",
            )
        kf.require_inside(folder, str(name))
        names.append(str(name))
    return tuple(names)


def keep_additions(old: Path, new: Path) -> dict[str, str]:
    """Copy what users added to a model folder into the one that replaces it.

    Parameters
    ----------
    old, new
        Model folders.

    Returns
    -------
    dict
        For each edited text of the old folder, the name that it has in the new one.
    """
    for name in list_additions(old):
        _copy(old / name, new / name)
    edited = {}
    for name in _edited_texts(old):
        if (old / name).read_bytes() != (new / name).read_bytes():
            edited[name] = _free_name(new, f"{name}.edited")
            _copy(old / name, new / edited[name])
    return edited


def _edited_texts(folder: Path) -> list[str]:
    """Texts that are not, or may not be, as they were packaged."""
    try:
        sums = kf.read_packaged_checksums(folder)
    except InputError:  # missing or damaged: nothing says that the texts are not edited
        sums = {}
    texts = [name for name in kf.OWN_TEXTS if (folder / name).is_file()]
    return [name for name in texts if sums.get(name) != file_digest(folder / name, fresh=True)]


def _free_name(folder: Path, name: str) -> str:
    names = (name if number == 1 else f"{name}-{number}" for number in range(1, 1 << 20))
    return next(free for free in names if not (folder / free).exists())


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target, follow_symlinks=False)
