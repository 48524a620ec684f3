"""Every error foretell raises on purpose.

    ForetellError
    ├── InvalidRequest   what was sent can't be used; the message says what to send instead
    ├── TooLarge         more than one request may bring; the message says how to bring it
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
    """A store does not answer just now."""


class Damaged(ForetellError):  # noqa: N818
    """What is stored is not what was written."""


class Misconfigured(ForetellError):  # noqa: N818
    """Settings or set-up are wrong."""


class BrokenDomain(ForetellError):  # noqa: N818
    """A domain did not keep the contract."""


def first_line(error: BaseException) -> str:
    """What a foreign error says in a line; several of them go on for pages. Its class where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
