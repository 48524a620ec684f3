"""The verb `notices`: what somebody should hear of is put on record, and sent by mail and to a chat by a job.

It is told once in a while, not at every look: a kind of finding about the same subject is left out of what is told
again within a day. What nobody could be sent stays on record with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from foretell.app.tenancy import Tenancy
from foretell.app.tenant_settings import MAIL, TENANT, TenantSettings, check_chat, in_force
from foretell.contract import Finding
from foretell.engine.collect import Need
from foretell.errors import ForetellError, InvalidRequest, NotFound, Refused, Unavailable
from foretell.settings import ForetellSettings
from foretell.stores import jobs, notices, registry, senders
from foretell.stores.notices import Notice as Notice  # noqa: PLC0414 - web and cli name it too

ONCE = timedelta(hours=24)  # within which a kind of finding about a subject is told once
GRAVE = ("high", "critical")  # of what reports find, what is told
MOST = 1000  # notices listed at once
TRIAL = Finding(kind="trial", severity="low", words="Notices reach you.", evidence={})


class Notify(BaseModel):
    """What a job that sends a notice is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    notice: UUID


def tell(
    desk: Tenancy,
    connection: Any,
    about: str,
    findings: Sequence[Finding],
    *,
    subject: str = "",
    once: timedelta = ONCE,
) -> UUID | None:
    """Put on record, in the connection's transaction, what somebody should hear of, and a job that sends it.

    Kinds that were told about the subject within `once` are left out; None where nothing is left.
    """
    from foretell.app.jobs import put

    now = datetime.now(UTC)
    told = notices.told(connection, desk.tenant, about, subject, now - once)
    fresh = [one for one in findings if one.kind not in told]
    if not fresh:
        return None
    number = notices.add(connection, desk.tenant, about, subject, fresh, now)
    put(desk, connection, "notify", Notify(notice=number), None)
    return number


class Notices:
    """What a tenant should hear of."""

    def __init__(self, desk: Tenancy) -> None:
        self.desk = desk

    def list(self, *, before: datetime | None = None, limit: int = 100) -> Sequence[Notice]:
        """Notices, newest first; those that came up before a moment, where one is given. Raises InvalidRequest."""
        if not 1 <= limit <= MOST:
            raise InvalidRequest(f"limit {limit}: ask for 1 to {MOST:,} notices, and on with `before`")
        with self.desk.inside() as connection:
            return notices.listed(connection, self.desk.tenant, before=before, limit=limit)

    def get(self, number: UUID) -> Notice:
        """A notice by its number; raises NotFound."""
        with self.desk.inside() as connection:
            return notices.get(connection, self.desk.tenant, number)

    def trial(self) -> Notice:
        """Have a notice sent that says nothing else than that they arrive; as it is before a worker has sent it."""
        with self.desk.inside() as connection:
            number = tell(self.desk, connection, "trial", [TRIAL], once=timedelta())
            assert number is not None  # nothing is left out
            return notices.get(connection, self.desk.tenant, number)

    def send(self, number: UUID) -> Mapping[str, int]:
        """Send a notice, for a job: to how many by which way. A way that was gone before is not gone again.

        Raises Unavailable where a way may be open later; one that is closed for good is said with the notice.
        """
        with self.desk.transaction(snapshot=True) as connection:
            try:
                notice = notices.get(connection, self.desk.tenant, number)
            except NotFound:  # it was erased meanwhile
                return {}
            look = registry.look(connection, self.desk.tenant, [], [])
            settings = cast("TenantSettings", in_force(TenantSettings, TENANT, look.settings))
            whom = self._audience(connection, notice, look) or settings.notify_mail
            text = self._text(connection, notice)
        done: dict[str, int] = dict(self.desk.work.notes.get("sent", {}) if self.desk.work else {})
        wrong, later = [], False
        for way, count in (("mail", len(whom)), ("chat", int(settings.notify_chat is not None))):
            if not count or way in done:
                continue
            try:
                refused = self._mail(notice, whom, text) if way == "mail" else self._chat(settings.notify_chat, text)
                done[way] = count - len(refused)
                wrong += [f"{each}: {why}" for each, why in refused.items()]
            except (Refused, InvalidRequest, Unavailable) as error:
                wrong.append(str(error))
                later |= isinstance(error, Unavailable)
            else:
                with self.desk.transaction():  # before the next is tried: this one is sent
                    self.desk.note(sent=done)
        if not whom and settings.notify_chat is None:
            wrong.append("nobody is to be told: set notify_mail or notify_chat (foretell settings set tenant …)")
        with self.desk.transaction() as connection:
            notices.sent(connection, self.desk.tenant, number, done, datetime.now(UTC), "; ".join(wrong) or None)
        if later:
            raise Unavailable("; ".join(wrong))
        return done

    def _audience(self, connection: Any, notice: Notice, look: registry.Look) -> Sequence[str]:
        """Whom a report names to be told about the notice's subject."""
        try:
            report = self.desk.report(notice.about)
        except NotFound:
            return []
        if report.audience is None:
            return []
        domain = self.desk.domain(report.name)
        standing = self.desk.standpoint(connection, domain, None, look)
        reads = {read.table: Need(window=read.window) for read in report.reads}
        told = report.audience(self.desk.history(connection, domain, standing, reads), notice.subject)
        return [address for address in told if MAIL.fullmatch(address)]

    def _text(self, connection: Any, notice: Notice) -> str:
        """A notice in words: what was found, gravest first, and where to look on."""
        lines = [f"{_title(self.desk.tenant, notice)}, {notice.created_at:%Y-%m-%d %H:%M} UTC", ""]
        for one in sorted(notice.findings, key=lambda each: -notices.SEVERITIES.index(each["severity"])):
            lines.append(f"- {one['severity']}: {_line(one['words'])}")
            if job := one["evidence"].get("job"):
                lines.append(f"  {_why(connection, self.desk.tenant, job)}")
        return "\n".join([*lines, "", f"All notices: foretell notices list --tenant {self.desk.tenant}"])

    def _mail(self, notice: Notice, whom: Sequence[str], text: str) -> Mapping[str, str]:
        told = ForetellSettings()
        if told.mail is None:
            raise Refused(
                "no mail server is known here; who runs this server types: export FORETELL_MAIL=smtp://user:…@host:587"
            )
        message = EmailMessage()
        message["Subject"] = _title(self.desk.tenant, notice)
        message["From"], message["To"] = told.mail_from, ", ".join(whom)
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = f"<{notice.notice_id}@foretell>"  # who gets it twice sees it once
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence answers it
        message.set_content(text)
        return senders.mail(told.mail, message)

    def _chat(self, url: str | None, text: str) -> Mapping[str, str]:
        assert url is not None
        check_chat(url)
        plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")  # else Slack reads commands in it
        senders.chat(url, plain)
        return {}


def _title(tenant: str, notice: Notice) -> str:
    what = " ".join(filter(None, (notice.about, notice.subject)))
    return _line(f"[foretell {tenant}] {notice.severity}: {what}")


def _line(text: str) -> str:
    """A text without breaks: a name that somebody chose must not make lines, or headers, of its own."""
    return " ".join(text.split())


def _why(connection: Any, tenant: str, job: str) -> str:
    """Why a job failed, and what to type to see it."""
    try:
        found = jobs.get(connection, tenant, UUID(job))
    except ForetellError:
        return f"the job {job} is forgotten by now"
    return _line(f"{found.error}: {found.message}; foretell jobs show {job} --tenant {tenant}")
