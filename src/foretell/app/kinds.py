"""What jobs do, by kind: the same verbs that people call, told as plain JSON, and resumed where a worker was lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from foretell.app import shelf
from foretell.app.answering import everybody
from foretell.app.notices import GRAVE, Notify, tell
from foretell.app.refreshing import refresh
from foretell.app.retraining import due
from foretell.contract import Finding
from foretell.engine.collect import Need
from foretell.errors import ForetellError, InvalidRequest, NotFound, NotReady, Unavailable
from foretell.stores import imports, jobs, kept, notices, records, registry

if TYPE_CHECKING:
    from foretell.app import App

Queue = Literal["ml_training", "ml_analysis", "maintenance"]
QUEUES: tuple[Queue, ...] = get_args(Queue)

ENDED = timedelta(days=90)  # that a job is remembered after its end, a notice, and an import that can be taken back


class Told(BaseModel):
    """What a job is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Train(Told):
    """Race a task's candidates now; `least` days of facts are asked for."""

    task: str
    as_of: datetime | Literal["latest"] | None = None
    days: int | None = Field(None, ge=1, le=36_500)
    budget: float | None = Field(None, gt=0, le=3600)
    least: int = 0


class Retrain(Told):
    """Train a task again, if one of its rules asks for it."""

    task: str


class Predict(Told):
    """Answer a task's request about each of many, or of all there are."""

    task: str
    request: dict[str, Any] = {}
    whom: list[str] | None = None
    as_of: datetime | Literal["latest"] | None = None


class Detect(Told):
    """Put on record what a report finds amiss with each of its subjects."""

    report: str


class Collect(Told):
    """Fetch what a source tells, or all of a domain."""

    source: str


class Refresh(Told):
    """Make what is kept of everybody anew for a task, and look at what it is like."""

    task: str


class Clean(Told):
    """Forget facts, predictions and jobs that are old enough, answers whose time is over, files that nobody needs."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of job: its queue, what it is told, and what it does for a tenant; `subject` is what it is about.

    One that is `first` is done before all others; else what somebody asked for comes before what was due.
    """

    queue: Queue
    told: type[BaseModel]
    subject: Callable[[Any], str]
    there: Callable[[App, Any], object]  # raises NotFound or InvalidRequest for what is not there
    do: Callable[[App, Any], dict[str, Any]]
    first: bool = False


def trained(app: App, told: Train) -> dict[str, Any]:
    """The version that was made, where it is kept, whether it serves and why, and its card."""
    done = dict(_noted(app))
    if "version" not in done:

        def far(candidate: str, place: int, of: int) -> None:
            if app.desk.work:
                app.desk.work.far(app.desk, f"racing {candidate}", place / (of + 1))

        made, verdict = app.train(
            told.task, as_of=told.as_of, days=told.days, least=told.least, budget=told.budget, progress=far
        )
        done = {"version": made.model.card.version, "promoted": verdict.promote, "reason": verdict.reason}
    with app.desk.transaction() as connection:
        held = registry.model(connection, app.tenant, told.task, done["version"])
    return {
        "tenant": app.tenant,
        "task": told.task,
        "version": held.version,
        "candidate": held.candidate,
        "promoted": done["promoted"],
        "reason": done["reason"],
        "made_at": held.created_at.isoformat(),
        "saved": f"{app.tenant}/{told.task}/{held.version}/{held.blob}",
        "card": held.card,
    }


def retrained(app: App, told: Retrain) -> dict[str, Any]:
    """The decision with its figures and, where it was to train, what came of that."""
    done = dict(_noted(app))
    if "decision" not in done:
        decided = due(app, told.task)
        done = {
            "decision": {
                "train": decided.train,
                "reason": decided.reason,
                "worse": decided.worse,
                "numbers": dict(decided.numbers),
            }
        }
        with app.desk.transaction() as connection:
            records.audit(connection, app.tenant, app.desk.who, "retrain?", told.task, done["decision"])
            app.desk.note(**done)
    if not done["decision"]["train"]:
        return done
    try:
        done |= {"trained": trained(app, Train(task=told.task))}
    except NotReady as error:
        done |= {"trained": None, "missing": str(error)}
    if worse := done["decision"]["worse"]:
        made = done["trained"]
        then = (
            f"{made['version']} {'serves now' if made['promoted'] else 'was trained'}: {made['reason']}"
            if made
            else done["missing"]
        )
        found = Finding(kind="worse", severity="high", words=f"{worse}; {then}", evidence=done["decision"]["numbers"])
        with app.desk.transaction() as connection:
            tell(app.desk, connection, told.task, [found])
    return done


def predicted(app: App, told: Predict) -> dict[str, Any]:
    """How many were asked about, and whose request could not be answered, with the error."""
    done = _noted(app)
    failed = dict(done.get("failed", {}))
    whom = sorted(told.whom) if told.whom is not None else everybody(app.desk, app.desk.task(told.task))
    rest = [name for name in whom if name > done["after"]] if "after" in done else whom
    for place, (name, said) in enumerate(app.predict_each(told.task, told.request, rest, as_of=told.as_of), 1):
        if isinstance(said, ForetellError):
            failed[name] = f"{said.code}: {said}"
        if app.desk.work:
            app.desk.note(failed=failed)
            app.desk.work.far(app.desk, f"answered about {name}", (len(whom) - len(rest) + place) / len(whom))
    return {"asked": len(whom), "failed": failed}


def detected(app: App, told: Detect) -> dict[str, Any]:
    """How many findings are open now, by subject."""
    report = app.desk.report(told.report)
    assert report.watched is not None
    domain = app.desk.domain(told.report)
    with app.desk.transaction(snapshot=True) as connection:
        standing = app.desk.standpoint(connection, domain, None, registry.look(connection, app.tenant, [], []))
        reads = {read.table: Need(window=read.window) for read in report.reads}
        subjects = report.watched(app.desk.history(connection, domain, standing, reads))
    counts = {}
    for one in subjects:
        found = app.anomalies.detect(told.report, {str(report.subject): one})
        counts[one] = len(found)
        grave = [
            Finding(kind=each.anomaly_type, severity=each.severity, words=each.description, evidence=each.evidence)
            for each in found
            if each.severity in GRAVE
        ]
        if grave:
            with app.desk.transaction() as connection:
                tell(app.desk, connection, told.report, grave, subject=one)
    return {"open": counts}


def collected(app: App, told: Collect) -> dict[str, Any]:
    """What came of each source; raises Unavailable where a place was answered by nobody, and it is tried again.

    That is when the first of those who were to answer is asked again, where one is left alone.
    """
    done = app.sources.collect(told.source)
    if lost := [one for one in done if one.answered < one.wanted]:
        words = "nothing came for some places; foretell sources says from whom, and why"
        until = app.sources.rest(tried.provider for one in lost for tried in one.tried)
        raise Unavailable(f"{', '.join(one.source for one in lost)}: {words}", until=until)
    return {"collected": [one.model_dump(mode="json") for one in done]}


def refreshed(app: App, told: Refresh) -> dict[str, Any]:
    """How many there are, and how many of those kept were found to be other than what is made of the facts now."""
    work = app.desk.work

    def far(words: str, share: float) -> None:
        if work:
            work.far(app.desk, words, share)

    return refresh(app.desk, app.desk.task(told.task), far=far)


def cleaned(app: App, _: Clean) -> dict[str, Any]:
    """How many predictions, jobs and notices were forgotten, and facts, by table."""
    keep = getattr(app.settings.show(), "keep_predictions_days")  # noqa: B009 - the tenant's own settings
    with app.desk.transaction() as connection:
        kept.sweep(connection, app.tenant)
        gone: dict[str, Any] = {
            "predictions": records.forget(connection, app.tenant, timedelta(days=keep)),
            "jobs": jobs.clean(connection, app.tenant, ENDED),
            "notices": notices.clean(connection, app.tenant, ENDED),
            "imports": imports.clean(connection, app.tenant, ENDED),
        }
    gone["facts"] = app.people.forget_old()
    shelf.tidy(app.desk)
    return gone


def notified(app: App, told: Notify) -> dict[str, Any]:
    """To how many it was sent by which way."""
    return {"sent": dict(app.notices.send(told.notice))}


def _noted(app: App) -> Mapping[str, Any]:
    return app.desk.work.notes if app.desk.work else {}


def _task(app: App, told: Train | Retrain) -> None:
    app.desk.task(told.task)


def _keeping(app: App, told: Refresh) -> None:
    if app.desk.task(told.task).vector is None:
        raise NotFound(f"{told.task} keeps no features")


def _sourced(app: App, told: Collect) -> None:
    domain = told.source.split(".")[0]
    if told.source not in (domain, *(names := [one.source for one in app.sources.list(domain)])):
        raise NotFound(f"no source {told.source!r}; there are {', '.join(names)}")


def _watched(app: App, told: Detect) -> None:
    if app.desk.report(told.report).watched is None:
        raise NotFound(f"the report {told.report} looks at nothing regularly")


def _noticed(app: App, told: Notify) -> None:
    app.notices.get(told.notice)


def _by_name(app: App, told: Predict) -> None:
    if app.desk.task(told.task).whom is None:
        raise InvalidRequest(f"{told.task} has no requests about one by name; ask for each with predict")


KINDS: Mapping[str, Kind] = {
    "train": Kind(
        queue="ml_training", told=Train, subject=lambda told: told.task,
        there=_task, do=trained,
    ),
    "retrain": Kind(
        queue="ml_training", told=Retrain, subject=lambda told: told.task,
        there=_task, do=retrained,
    ),
    "predict": Kind(
        queue="ml_analysis", told=Predict, subject=lambda told: told.task, there=_by_name, do=predicted
    ),
    "refresh": Kind(
        queue="ml_analysis", told=Refresh, subject=lambda told: told.task, there=_keeping, do=refreshed
    ),
    "detect": Kind(
        queue="ml_analysis", told=Detect, subject=lambda told: told.report, there=_watched, do=detected
    ),
    "collect": Kind(
        queue="ml_analysis", told=Collect, subject=lambda told: told.source, there=_sourced, do=collected
    ),
    "notify": Kind(
        queue="maintenance", told=Notify, subject=lambda told: str(told.notice), there=_noticed, do=notified,
        first=True,
    ),
    "clean": Kind(queue="maintenance", told=Clean, subject=lambda _: "", there=lambda *_: None, do=cleaned),
}  # fmt: skip
