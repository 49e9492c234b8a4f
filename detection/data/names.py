"""Names that a file gives: which may be opened below a folder, which may be shown, which split they tell.

Links inside a dataset's folders are followed: whoever may make them there may put the files there, and large datasets
are often laid out by links. Archives are another matter: `archives.py` refuses members that are links. A data.yaml may
name any folder, as Ultralytics lays data out; what it leads to is only ever opened as an image or as its labels.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath

from detection.printable import UNPRINTABLE

LONGEST = 1000
"""letters; an index keeps all names at the length of the longest"""


SPLIT_WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""words in file and folder names, and the split they mean"""


def split_name(name: str) -> str | None:
    """train, val or test where a word of `name` says so: instances_train2017 -> train."""
    for word in reversed(re.findall(r"[a-z]+", name.lower())):
        if word in SPLIT_WORDS:
            return SPLIT_WORDS[word]
    return None


def leaves_root(name: str) -> bool:
    """Whether a file name is no path inside a folder: empty, longer than any, absolute (on any system), or climbing
    with '..'."""
    if not name or len(name) > LONGEST or "\0" in name or not _encodes(name) or name.startswith(("/", "\\")):
        return True
    if ".." not in name and ":" not in name:
        return False
    windows = PureWindowsPath(name)
    return bool(windows.drive) or ".." in windows.parts or ".." in PurePosixPath(name).parts


def unshowable(name: str) -> bool:
    """Whether a name is blank or has letters that would act on a terminal or page rather than show there."""
    return not name.strip() or UNPRINTABLE.search(name) is not None


def _encodes(name: str) -> bool:
    """JSON can spell half characters (lone surrogates), and folders can hold names that are not UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
