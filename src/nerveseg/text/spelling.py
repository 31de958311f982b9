"""Names that differ only in how they are spelt."""

import re
import unicodedata


def plain(name: str) -> str:
    """Return the same for spellings that differ in case, width, dashes and spaces (also whether one stands before a number), the
    encoding of accents, invisible characters, or a number's zeros and decimal sign.
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    text = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    text = "".join("-" if unicodedata.category(letter) == "Pd" or letter in "_\u2212" else letter for letter in text)
    text = re.sub(r"^(\d+)[.,]0+$", r"\1", re.sub(r"\s+", " ", text.strip()))
    return re.sub(r"(?<=[^\W\d])[- ]+(?=\d)", "", re.sub(r"(?<![\d.])0+(?=\d)", "", text))
