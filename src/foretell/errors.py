"""Every error foretell raises on purpose.

    ForetellError
    ├── InvalidRequest   what was sent can't be used; the message says what to send instead
    ├── TooLarge         more than one request may bring; the message says how to bring it
    ├── TooMany          more requests than a user may send in a minute; ask again a little later
    ├── Unauthorized     who asks is not known: no token, or one that can't be trusted
    ├── Forbidden        who asks is known and may not; the message says who may
    ├── NotFound         no such domain, task, table or method; the message lists what exists
    ├── NotReady         too little history, or nothing trained yet; the message says what is missing
    ├── Refused          it can't be done as things stand; the message says what stands in the way
    ├── Unavailable      the database does not answer; try again
    ├── Damaged          what is stored is not what was written; what came before it serves
    ├── Misconfigured    settings or set-up are wrong; the message is the line to type
    └── BrokenDomain     a domain broke the contract; names the domain's task and what it did

The class name is the public error code. HTTP status lives in `web`, exit codes in `cli`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple


class ForetellError(Exception):
    """Anything foretell refuses or can't do; its message says what happened and what to do next."""

    @property
    def code(self) -> str:
        """The public error code: the name of the class."""
        return type(self).__name__


class InvalidRequest(ForetellError):  # noqa: N818 - the public code is the bare word
    """What was sent can't be used."""


class TooLarge(ForetellError):  # noqa: N818
    """It is more than one request may bring."""


class TooMany(ForetellError):  # noqa: N818
    """More requests came than one user may send; after `wait` seconds there may be another."""

    def __init__(self, message: str, wait: int) -> None:
        """Say what happened, and how many seconds to wait."""
        super().__init__(message)
        self.wait = wait


class Unauthorized(ForetellError):  # noqa: N818
    """Who asks is not known."""


class Forbidden(ForetellError):  # noqa: N818
    """Who asks may not."""


class NotFound(ForetellError):  # noqa: N818
    """What was named does not exist."""


class NotReady(ForetellError):  # noqa: N818
    """There is not enough history, or nothing has been trained yet."""


class Refused(ForetellError):  # noqa: N818
    """As things stand it can't be done."""


class Unavailable(ForetellError):  # noqa: N818
    """A store does not answer just now; it is in vain to try again before `until`, where that is known."""

    def __init__(self, message: str, *, until: datetime | None = None) -> None:
        """Say what happened, and from when on it may be tried again."""
        super().__init__(message)
        self.until = until


class Damaged(ForetellError):  # noqa: N818
    """What is stored is not what was written."""


class Misconfigured(ForetellError):  # noqa: N818
    """Settings or set-up are wrong."""


class BrokenDomain(ForetellError):  # noqa: N818
    """A domain did not keep the contract."""


def first_line(error: BaseException) -> str:
    """What a foreign error says in a line; several of them go on for pages. Its class where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


class Spot(NamedTuple):
    """A place in somebody's code."""

    file: str
    line: int
    function: str
    package: str

    @property
    def short(self) -> str:
        """The place from its package on: whose machine it is on is nobody's business."""
        parts, name = Path(self.file).parts, self.package.rpartition(".")[2]
        start = max((place for place, part in enumerate(parts[:-1]) if part == name), default=len(parts) - 1)
        return f"{'/'.join(parts[start:])}:{self.line} in {self.function}"


def spot(error: BaseException, packages: Iterable[str]) -> Spot | None:
    """Where in the code of these packages an error arose: the innermost place; None where it is in none of them."""
    found, names, step = None, [*packages], error.__traceback__
    while step is not None:
        code, module = step.tb_frame.f_code, str(step.tb_frame.f_globals.get("__name__", ""))
        for name in names:
            if module == name or module.startswith(f"{name}."):
                found = Spot(code.co_filename, step.tb_lineno, code.co_name, name)
        step = step.tb_next
    return found
