"""A user's lists and names as text, without altering what they say. Imports no torch."""

from __future__ import annotations

import codecs
import re
import unicodedata

from genshift.errors import Refusal, unknown

UTF8 = "utf-8"
COMMON = ("utf-8", "utf-16", "windows-1250", "windows-1251", "windows-1252", "latin-1", "gbk", "gb18030", "big5",
          "shift_jis", "euc-jp", "euc-kr", "koi8-r", "iso-8859-2", "iso-8859-15")  # fmt: skip
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def decode_text(data: bytes, where: object, encoding: str = UTF8, errors: str = "strict") -> str:
    """The text of a file: in the encoding that a mark at its beginning tells (UTF-8's or UTF-16's), else in `encoding`.

    Raises Refusal, which names the line, for bytes that are none of it: with letters lost, two classes may look alike.
    """
    name = next((name for mark, name in MARKS.items() if data.startswith(mark)), encoding)
    try:
        return data.decode(name, errors)
    except UnicodeError as error:
        at = error.start if isinstance(error, UnicodeDecodeError) else 0
        line = len(re.split(r"\r\n|\r|\n", data[:at].decode(name, "replace")))
        raise Refusal(
            f"{where} holds bytes in line {line} that are no text in {name.upper()}: give the encoding that it was "
            "saved in, as --encoding gbk or --encoding windows-1252, or save it as UTF-8."
        ) from None


def check_encoding(name: str) -> None:
    """Raises Refusal for a name by which Python knows no encoding of text."""
    try:
        "".encode(name)
    except (LookupError, ValueError):
        raise unknown("encoding", name, COMMON, "Every encoding of text that Python knows can be given.") from None


def composed(name: str) -> str:
    """A class's name with composed accents (Unicode's form NFC): as macOS writes "é", in two parts, it looks the same
    and would be another class."""
    return unicodedata.normalize("NFC", name)
