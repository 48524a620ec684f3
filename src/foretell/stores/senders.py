"""What is sent to people: mail by SMTP, and messages to a chat by its incoming webhook."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from foretell.errors import Refused, Unavailable
from foretell.stores.outside import posted

PATIENCE = 20.0  # seconds without a byte
PASSING = (408, 425, 429)  # of the statuses that say that the request was wrong, those that may be gone later


def mail(url: str, message: EmailMessage) -> dict[str, str]:
    """Send a message by the server of `smtp://user:password@host:587` or `smtps://…:465`; who was refused, and why.

    TLS is used wherever the server has it, and a password is told over TLS alone. Raises Unavailable for what may be
    gone at the next try, else Refused.
    """
    told = urlsplit(url)
    host, context = told.hostname or "", ssl.create_default_context()
    try:
        with (
            smtplib.SMTP_SSL(host, told.port or 465, timeout=PATIENCE, context=context)
            if told.scheme == "smtps"
            else smtplib.SMTP(host, told.port or 587, timeout=PATIENCE)
        ) as server:
            if told.scheme == "smtp":
                server.ehlo()
                if server.has_extn("starttls"):
                    server.starttls(context=context)
                elif told.password:
                    raise Refused(f"the mail server {host} offers no TLS, and a password is told to nobody without it")
            if told.username:
                server.login(unquote(told.username), unquote(told.password or ""))
            refused = server.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        passing = any(code < 500 for code, _ in error.recipients.values())
        raise (Unavailable if passing else Refused)(f"the mail server refuses {_whom(error.recipients)}") from None
    except smtplib.SMTPResponseException as error:
        words = f"the mail server says {error.smtp_code} {_text(error.smtp_error)}"
        raise (Unavailable if 400 <= error.smtp_code < 500 else Refused)(words) from None
    except smtplib.SMTPNotSupportedError as error:
        raise Refused(f"the mail server: {error}") from None
    except (OSError, smtplib.SMTPException) as error:
        raise Unavailable(f"the mail server {host} does not answer ({error or type(error).__name__})") from None
    return {whom: _text(why) for whom, (_, why) in refused.items()}


def _whom(refused: dict[str, tuple[int, bytes]]) -> str:
    return "; ".join(f"{whom}: {code} {_text(why)}" for whom, (code, why) in refused.items())


def _text(said: bytes | str) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said


def chat(url: str, text: str) -> None:
    """Post `{"text": …}` to an incoming webhook, as Slack and Mattermost have them. Raises as `mail` does.

    Redirections are not followed, and nothing that is said holds the URL: who knows it may post there.
    """
    try:
        said = posted(url, {"text": text}, silence=PATIENCE)
    except Unavailable as error:
        raise Unavailable(f"the chat: {error}") from None
    if not 200 <= said.status < 300:
        passing = said.status >= 500 or said.status in PASSING
        words = f"the chat says {said.status} {_text(said.body[:200])}"
        raise (Unavailable if passing else Refused)(words)
