"""How people write times and numbers: what can mean one thing only, and what a whole column has to settle.

`02/03/2026` is a day of February or of March, and `1,500` one and a half or fifteen hundred. Such a column is read one
way, by all of its values, or not at all; a single value never settles itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import polars as pl

from foretell.errors import InvalidRequest

Order = Literal["dmy", "mdy"]
"""Whether the day or the month comes first in `a/b/yyyy`."""
Form = Order | Literal["comma"]
"""What is to be known of a column to read it: the order of its dates, or that a comma is its decimal mark."""

EMPTY = ("NA", "N/A", "n/a", "null", "NULL", "-")  # what people write for nothing
TIMES = "2026-03-01T12:00:00Z, 2026-03-01 12:00, 2026/03/01, 20260301, 01.03.2026 12:00, 1-Mar-2026, Unix seconds"
NUMBERS = "1234.5, and 1.234,5 where a whole file writes its numbers so"
SPLIT = r"^(\d{1,2})[/-](\d{1,2})[/-](\d{4})(\D.*)?$"
KNOWN = r"^\d{4,}-\d{1,2}-\d{1,2}"  # the form is understood, whether or not there is such a time
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
NAMES = (
    "(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    "|nov(?:ember)?|dec(?:ember)?)"
)
SURE: Mapping[str, str] = {
    r"^(\d{4})(\d\d)(\d\d)$": "${1}-${2}-${3}",
    r"^(\d{4})(\d\d)(\d\d)[T ](\d\d):?(\d\d)([Zz]|[+-]\d\d:?\d\d)?$": "${1}-${2}-${3} ${4}:${5}${6}",
    r"^(\d{4})(\d\d)(\d\d)[T ](\d\d):?(\d\d):?(\d\d(?:\.\d+)?)([Zz]|[+-]\d\d:?\d\d)?$":
        "${1}-${2}-${3} ${4}:${5}:${6}${7}",
    r"^(\d{4})[/.](\d{1,2})[/.](\d{1,2})(\D.*)?$": "${1}-${2}-${3}${4}",
    r"^(\d{1,2})\.(\d{1,2})\.(\d{4})(\D.*)?$": "${3}-${2}-${1}${4}",
}  # fmt: skip
"""Times that can mean one thing only, other than ISO 8601's usual form, and how they are written in that."""

GROUPED = r"\d{1,3}(?:[. '\x{a0}\x{202f}]\d{3})+"  # 1.234 of a file that writes 1.234,5
COMMA = rf"^[+-]?(?:\d+|{GROUPED})?(?:,\d+)?$"
POINT = r"^[+-]?\d*\.\d+(?:[eE][+-]?\d+)?$"
THOUSANDS = r"^[+-]?[1-9]\d{0,2}(?:,\d{3})+$"  # may be a fraction of three digits as well


def iso(texts: pl.Series) -> pl.Series:
    """Times in the usual form of ISO 8601 wherever they can mean one thing only; what else there is stays as it is."""
    plain = texts.str.strip_chars()
    if not plain.str.contains(r"^(?:\d{8}(?:\D|$)|\d{1,4}[/.]|.{0,3}[A-Za-z]{3})").any():
        return plain
    text = pl.col("text")
    for form, way in SURE.items():
        text = text.str.replace(form, way)
    frame = plain.alias("text").to_frame().select(text)
    if frame["text"].str.contains(f"(?i){NAMES}").any():
        frame = frame.select(text=_named(pl.col("text")))
    return frame["text"].str.replace(r"^(\d{4}-\d{1,2}-\d{1,2}),\s*", "${1} ").alias(texts.name)


def _named(text: pl.Expr) -> pl.Expr:
    """Dates with the name of the month in English (21-Jul-2014, July 21, 2014), with its number."""
    day = text.str.extract_groups(rf"(?i)^(?<d>\d{{1,2}})[\s/-]*(?<m>{NAMES})\.?,?[\s/-]*(?<y>\d{{4}})(?<rest>\D.*)?$")
    month = text.str.extract_groups(rf"(?i)^(?<m>{NAMES})\.?\s+(?<d>\d{{1,2}}),?\s+(?<y>\d{{4}})(?<rest>\D.*)?$")
    out = text
    for parts in (day, month):
        y, m, d = (parts.struct.field(each) for each in "ymd")
        number = m.str.to_lowercase().str.head(3).replace_strict(
            MONTHS, [f"{n:02}" for n in range(1, 13)], default=None, return_dtype=pl.String()
        )  # fmt: skip
        rest = parts.struct.field("rest").fill_null("").str.replace(r"^:", " ")  # a web server's 21/Jul/2014:20:09:25
        out = (
            pl.when(number.is_not_null())
            .then(pl.concat_str(y, pl.lit("-"), number, pl.lit("-"), d, rest))
            .otherwise(out)
        )
    return out


def unclear(texts: pl.Series) -> pl.Series:
    """Of which rows it has to be said whether the day or the month comes first."""
    return texts.str.strip_chars().str.contains(SPLIT).fill_null(False)


def order(column: pl.Series, name: str, said: Order | Literal["auto"] | None) -> Order | None:
    """Whether the day or the month comes first in a column of `a/b/yyyy`, by all its values; None without any.

    With None nothing is found out. Raises InvalidRequest, which names the option, where neither has a part above 12,
    or both have.
    """
    if column.dtype != pl.String or said is None:
        return None
    split = column.drop_nulls().str.strip_chars()
    split = split.filter(split.str.contains(SPLIT))
    if split.is_empty() or said != "auto":
        return said if said != "auto" and not split.is_empty() else None
    days = [(split.str.extract(SPLIT, part).cast(pl.Int64()) > 12).any() for part in (1, 2)]
    if days[0] != days[1]:
        return "dmy" if days[0] else "mdy"
    why = "both the first and the second number are above 12 in some" if days[0] else "no number tells day from month"
    raise InvalidRequest(
        f"{column.name} holds dates such as {split[0]!r} for {name}, and {why}; choose: --dates dmy if the day comes"
        " first, --dates mdy if the month does"
    )


def comma(column: pl.Series) -> bool:
    """Whether a comma is the decimal mark throughout a column: its numbers with one can't be anything else."""
    if column.dtype != pl.String:
        return False
    texts = column.drop_nulls().str.strip_chars()
    texts = texts.filter(~texts.is_in(EMPTY))
    marked = texts.filter(texts.str.contains(",", literal=True))
    if marked.is_empty() or not marked.str.contains(COMMA).all() or marked.str.contains(THOUSANDS).all():
        return False
    other = texts.str.contains(POINT) & ~texts.str.contains(rf"^[+-]?{GROUPED}$")
    return not other.any() and bool(texts.str.contains(COMMA).mean() > 0.9)  # type: ignore[operator]


def spelt(text: pl.Expr, form: Form) -> pl.Expr:
    """The texts of a column of a form, as they are read without knowing it; what is of no such form stays."""
    plain = text.str.strip_chars()
    if form == "dmy":
        return plain.str.replace(SPLIT, "${3}-${2}-${1}${4}")
    if form == "mdy":
        return plain.str.replace(SPLIT, "${3}-${1}-${2}${4}")
    number = plain.str.replace_all(r"[. '\x{a0}\x{202f}]", "").str.replace(",", ".", literal=True)
    return pl.when(plain.str.contains(COMMA)).then(number).otherwise(text)


def told(form: Form) -> str:
    """What was made of a column of a form, in words."""
    return {
        "dmy": "the day comes first in its dates (21/07/2014)",
        "mdy": "the month comes first in its dates (07/21/2014)",
        "comma": "a comma is the decimal mark of its numbers (1.234,5)",
    }[form]


def alike(words: str) -> str:
    """The words of a note without the example in them, by which notes of several batches are one."""
    return re.sub(r", such as '.*';", ";", words)
