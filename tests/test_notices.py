"""Notices: what somebody should hear of is put on record once, and sent by mail and to a chat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import trustme
from click.testing import CliRunner
from tests.deciding import above, neighbour, now, tenancy
from tests.letters import PASSWORD, Chat, Mails, chat, mails

from foretell.app import App, jobs
from foretell.app.jobs import SCHEDULE
from foretell.app.notices import tell
from foretell.app.worker import work
from foretell.cli import cli
from foretell.contract import Finding
from foretell.domains.agile.sample.world import world
from foretell.errors import InvalidRequest, Misconfigured, Refused, Unavailable
from foretell.settings import ForetellSettings
from foretell.stores import senders

WHO = "on-call@example.org"
FOUND = Finding(kind="leak", severity="high", words="The pipe\nleaks <now>", evidence={"litres": 3})


@pytest.fixture
def post() -> Iterator[Mails]:
    with mails() as server:
        yield server


@pytest.fixture
def room() -> Iterator[Chat]:
    with chat() as server:
        yield server


@pytest.fixture
def app(alone: Path, post: Mails, room: Chat, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """A tenant that is told by mail and in a chat, by a worker that loses no time."""
    monkeypatch.setenv("FORETELL_MAIL", f"smtp://127.0.0.1:{post.port}")
    monkeypatch.setenv("FORETELL_CHATS", f"https://hooks.slack.com {room.origin}")
    monkeypatch.setattr(jobs, "FIRST", 0.0)
    with tenancy() as made:
        with above(alone) as connection:  # what other tests left there is nobody's here
            connection.execute("SET search_path TO foretell_queue")
            connection.execute("DELETE FROM procrastinate_jobs")
        made.settings.change("tenant", {"notify_mail": [WHO], "notify_chat": f"{room.origin}/T/B/secret"})
        yield made


def raised(app: App, *findings: Finding, about: str = "agile.effort", **more: Any) -> object:
    """Tell of findings; the notice's number, or None."""
    with app.desk.transaction() as connection:
        return tell(app.desk, connection, about, findings or [FOUND], **more)


def sent(app: App) -> None:
    work(wait=False, beat=0.5)


# ---------------------------------------------------------------- told once, and to whom


def test_a_notice_is_on_record_and_reaches_mail_and_chat(app: App, post: Mails, room: Chat) -> None:
    number = raised(app)
    (before,) = app.notices.list()
    assert (before.notice_id, before.sent, before.sent_at, before.severity) == (number, None, None, "high")
    sent(app)
    (after,) = app.notices.list()
    assert (after.sent, after.error) == ({"mail": 1, "chat": 1}, None)
    ((whom, mail),) = post.got
    assert whom == [WHO]
    assert mail["Subject"] == f"[foretell {app.tenant}] high: agile.effort"
    assert mail["Message-ID"] == f"<{number}@foretell>"
    assert "- high: The pipe leaks <now>\n" in mail.get_content().replace("\r", "")
    ((path, text),) = room.got
    assert path == "/T/B/secret"
    assert "The pipe leaks &lt;now&gt;" in text
    assert neighbour(app).notices.list() == []


def test_a_kind_of_finding_about_a_subject_is_told_once_a_day(app: App, alone: Path) -> None:
    other = Finding(kind="smell", severity="low", words="It smells", evidence={})
    assert raised(app, subject="a")
    assert raised(app, subject="a") is None
    assert raised(app, subject="b")
    assert raised(app, FOUND, other, subject="a")
    newest = app.notices.list()[0]
    assert ([one["kind"] for one in newest.findings], newest.severity) == (["smell"], "low")
    with above(alone) as connection:
        connection.execute("UPDATE notices SET created_at = created_at - interval '24 hours'")
    assert raised(app, subject="a")
    assert raised(app, subject="a", once=timedelta()) is not None


def test_nobody_to_tell_and_no_mail_server_are_said_with_the_notice(
    app: App, room: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORETELL_MAIL")
    raised(app, subject="a")
    sent(app)
    (one,) = app.notices.list()
    assert (one.sent, str(one.error).split(";")[0]) == ({"chat": 1}, "no mail server is known here")
    app.settings.change("tenant", {"notify_mail": None, "notify_chat": None})
    raised(app, subject="b")
    sent(app)
    assert app.notices.list()[0].sent == {}
    assert "nobody is to be told" in str(app.notices.list()[0].error)
    assert len(room.got) == 1


# ---------------------------------------------------------------- what hinders it


def test_what_passes_is_tried_again_and_no_way_is_gone_twice(app: App, post: Mails, room: Chat) -> None:
    post.orders.extend(["451 later", "421 later still"])
    raised(app)
    sent(app)
    (one,) = app.notices.list()
    assert (one.sent, one.error) == ({"chat": 1, "mail": 1}, None)
    assert (len(post.got), len(room.got)) == (1, 1)
    (job,) = app.jobs.list()
    assert (job.kind, job.state, job.attempts) == ("notify", "done", 3)


def test_what_is_refused_for_good_is_said_and_not_tried_again(app: App, post: Mails, room: Chat) -> None:
    post.strangers.add(WHO)
    room.orders.append(404)
    raised(app)
    sent(app)
    (one,) = app.notices.list()
    assert one.sent == {}
    assert "550 no such mailbox" in str(one.error)
    assert "the chat says 404" in str(one.error)
    assert "secret" not in str(one.error)
    (job,) = app.jobs.list()
    assert (job.state, job.attempts) == ("done", 1)


def test_a_mail_server_that_is_gone_leaves_the_notice_with_why(
    app: App, room: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETELL_MAIL", "smtp://127.0.0.1:1")
    raised(app)
    sent(app)
    (one,), (job,) = app.notices.list(), app.jobs.list()
    assert (one.sent, job.state, job.attempts) == ({"chat": 1}, "failed", jobs.ATTEMPTS)
    assert "does not answer" in str(one.error)
    assert len(room.got) == 1


def test_of_several_addresses_the_good_ones_are_reached(app: App, post: Mails) -> None:
    app.settings.change("tenant", {"notify_mail": [WHO, "gone@example.org"], "notify_chat": None})
    post.strangers.add("gone@example.org")
    raised(app)
    sent(app)
    (one,) = app.notices.list()
    assert (one.sent, one.error) == ({"mail": 1}, "gone@example.org: no such mailbox")
    assert [whom for whom, _ in post.got] == [[WHO]]


def test_a_redirection_is_not_followed(app: App, room: Chat) -> None:
    room.orders.append(302)
    with pytest.raises(Refused, match="says 302"):
        senders.chat(f"{room.origin}/here", "text")
    assert room.got == []


def test_a_chat_that_the_house_no_longer_lets_in_is_not_posted_to(
    app: App, room: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETELL_CHATS", "https://hooks.slack.com")
    raised(app)
    sent(app)
    assert "who runs this server can let in more" in str(app.notices.list()[0].error)
    assert room.got == []
    with pytest.raises(InvalidRequest, match=r"posted to https://hooks\.slack\.com alone"):
        app.settings.change("tenant", {"notify_chat": f"{room.origin}/other"})


# ---------------------------------------------------------------- mail servers


def test_a_password_is_told_over_tls_alone(post: Mails, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "me@example.org", WHO, "Grüße"
    message.set_content("Hej")
    authority = trustme.CA()
    with mails(authority) as safe:
        url = f"127.0.0.1:{safe.port}"
        with pytest.raises(Unavailable, match="certificate verify failed"):
            senders.mail(f"smtp://me:{PASSWORD}@{url}", message)
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert senders.mail(f"smtp://me:{PASSWORD}@{url}", message) == {}
        assert safe.got[0][1]["Subject"] == "Grüße"
        with pytest.raises(Refused, match="535"):
            senders.mail(f"smtp://me:wrong@{url}", message)
        with pytest.raises(Refused, match="530"):
            senders.mail(f"smtp://{url}", message)
    with pytest.raises(Refused, match="offers no TLS"):
        senders.mail(f"smtp://me:{PASSWORD}@127.0.0.1:{post.port}", message)
    assert post.got == []


@pytest.mark.parametrize("told", ["http://mail.example.org", "mail.example.org", "smtp://", "smtp://host:99999"])
def test_what_is_no_mail_server_is_refused_at_start(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORETELL_MAIL", told)
    with pytest.raises(Misconfigured, match="FORETELL_MAIL"):
        ForetellSettings()


@pytest.mark.parametrize("told", ["https://host/path", "ftp://host", "host"])
def test_what_is_no_chat_s_origin_is_refused_at_start(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORETELL_CHATS", told)
    with pytest.raises(Misconfigured, match="FORETELL_CHATS"):
        ForetellSettings()


@pytest.mark.parametrize(
    "told",
    [
        {"notify_mail": ["nobody"]}, {"notify_mail": ["a@b, c@d"]}, {"notify_mail": ["a@b\nBcc: c@d"]},
        {"notify_mail": [WHO] * 21}, {"notify_chat": "ftp://hooks.slack.com/x"}, {"notify_chat": "https://me@hooks.slack.com/x"},
        {"notify_chat": "https://example.org/x"},
    ],
)  # fmt: skip
def test_where_notices_can_not_go_is_not_taken(app: App, told: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        app.settings.change("tenant", told)


# ---------------------------------------------------------------- what is told of


def test_a_job_of_the_schedule_that_failed_is_told_with_why(app: App, post: Mails) -> None:
    told = {"task": "traffic.load", "least": 10_000}
    app.jobs.start("train", told)  # whoever asks for it sees it fail
    sent(app)
    assert app.notices.list() == []
    scheduled = App(replace(app.desk, who=SCHEDULE))
    scheduled.jobs.start("train", told)
    scheduled.jobs.start("train", told)
    sent(app)
    (one,) = app.notices.list()
    ((_, mail),) = post.got
    assert (one.about, one.findings[0]["kind"]) == ("traffic.load", "train_failed")
    assert "train traffic.load failed" in mail.get_content()
    assert "NotReady" in mail.get_content()


@pytest.mark.row("A7")
def test_a_project_s_lead_is_told_of_what_is_grave_once_in_a_day(app: App, post: Mails, room: Chat) -> None:
    """Nobody has the issues of one project; what else is grave in the workspace changes with the hour of the week.

    Only active projects are looked at.
    """
    for name, rows in world(3, now(), projects=3, crew=9, sprints=5).tables.items():
        app.import_(f"agile.{name}", rows.drop("entity", "known_at", strict=False))
    lately, old = now() - timedelta(days=1), now() - timedelta(days=60)
    bare, ann = {"project": "BARE", "time": lately}, "ann@example.com"
    app.import_("agile.projects", pl.DataFrame([bare | {"lead": "ann"}]))
    app.import_("agile.members", pl.DataFrame([bare | {"person": "ann", "email": ann}]))
    issues = [bare | {"issue": f"BARE-{n}", "title": "Whose is it?"} for n in range(8)]
    issues.append({"issue": "OLD-1", "project": "OLD", "time": old, "title": "Nobody looks at it"})
    app.import_("agile.issues", pl.DataFrame(issues))
    for _ in range(2):
        job = app.jobs.start("detect", {"report": "agile.anomalies"})
        sent(app)
        assert app.jobs.get(job.job_id).state == "done"
    leads = {
        str(row["project"]): str(row["email"])
        for row in app.facts("agile.projects")
        .join(app.facts("agile.members"), left_on=["project", "lead"], right_on=["project", "person"])
        .iter_rows(named=True)
    }
    grave = {
        project: {
            one.anomaly_type
            for one in app.anomalies.list("agile.anomalies", subject=project)
            if one.severity in ("high", "critical")
        }
        for project in leads
    }
    grave = {project: kinds for project, kinds in grave.items() if kinds}
    assert (leads["BARE"], grave["BARE"]) == (ann, {"unassigned_issues"})
    told = {one.subject: {each["kind"] for each in one.findings} for one in app.notices.list()}
    assert told == grave
    assert sorted(whom for (whom,), _ in post.got) == sorted(leads[project] for project in grave)
    assert len(room.got) == len(grave)
    assert "OLD" not in app.jobs.get(job.job_id).result["open"]  # type: ignore[index]


# ---------------------------------------------------------------- seen, tried, forgotten


def test_the_command_line_shows_them_and_tries_the_ways(app: App, post: Mails) -> None:
    def said(*words: str) -> str:
        done = CliRunner().invoke(cli, ["notices", *words, "--tenant", app.tenant])
        assert done.exit_code == 0, done.output
        return done.output

    assert said("list") == f"there are no notices of {app.tenant}\n"
    assert "not sent yet" in said("try")
    sent(app)
    assert post.got[0][1]["Subject"] == f"[foretell {app.tenant}] low: trial"
    assert "sent: chat 1, mail 1\n    low trial: Notices reach you.\n" in said("list")
    assert json.loads(said("list", "--json"))[0]["sent"] == {"mail": 1, "chat": 1}
    assert json.loads(said("try", "--json"))["sent"] is None


def test_old_ones_are_forgotten(app: App, alone: Path) -> None:
    raised(app, subject="old")
    with above(alone) as connection:
        connection.execute("UPDATE notices SET created_at = created_at - interval '91 days'")
    raised(app, subject="new")
    job = app.jobs.start("clean", {})
    sent(app)
    assert [one.subject for one in app.notices.list()] == ["new"]
    assert (app.jobs.get(job.job_id).result or {})["notices"] == 1


def test_lists_are_of_a_length_and_go_on(app: App) -> None:
    for subject in "abc":
        raised(app, subject=subject)
    newest = app.notices.list(limit=2)
    assert [one.subject for one in newest] == ["c", "b"]
    assert [one.subject for one in app.notices.list(before=newest[-1].created_at)] == ["a"]
    with pytest.raises(InvalidRequest):
        app.notices.list(limit=0)
