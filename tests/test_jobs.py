"""Jobs: put on record, done once by whoever is there, resumed, tried again, cancelled; and each tenant's own."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import polars as pl
import pytest
from tests.deciding import LOAD, METRICS, above, neighbour, steady, tenancy

from foretell.app import App, kinds
from foretell.app.jobs import ATTEMPTS, SCHEDULE, SPREAD, run
from foretell.app.kinds import QUEUES, Kind, Told
from foretell.app.notices import tell
from foretell.app.opening import stores
from foretell.app.tokens import Keys, rotate
from foretell.app.work import Ended, Work
from foretell.app.worker import _lanes, _take, work
from foretell.contract import Finding
from foretell.errors import InvalidRequest, NotFound, Refused, Unauthorized, Unavailable
from foretell.settings import ForetellSettings
from foretell.stores import jobs
from foretell.stores.jobs import Again

TRAIN = {"task": LOAD, "budget": 0.01}


@pytest.fixture
def app(alone: Path) -> Iterator[App]:
    with tenancy() as made:
        forgotten(alone)  # what other tests left there is nobody's here
        yield made


def forgotten(alone: Path) -> None:
    """Let the queue know of no job."""
    with above(alone) as connection:
        connection.execute("SET search_path TO foretell_queue")
        connection.execute("DELETE FROM procrastinate_jobs")


def counted(app: App, table: str) -> int:
    with app.desk.inside() as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    return int(row[0])


def sealed(app: App, job: UUID) -> tuple[str, str, str]:
    return app.tenant, str(job), app.house.keys.seal(f"{app.tenant}/{job}")


def killed(app: App, job: UUID) -> None:
    """Take a job up as one who ends in the middle."""
    with pytest.raises(SystemExit):
        run(app.house, *sealed(app, job))


def deed(app: App, monkeypatch: pytest.MonkeyPatch, do: Any) -> UUID:
    """A job that does this."""
    kind = Kind(queue="maintenance", told=Told, subject=lambda _: "it", there=lambda *_: None, do=do)
    monkeypatch.setitem(kinds.KINDS, "deed", kind)
    return app.jobs.start("deed", {}).job_id


# ---------------------------------------------------------------- what becomes of one


def test_a_worker_does_what_was_put_on_record(app: App) -> None:
    app.import_(METRICS, steady(days=35))
    put = app.jobs.start("train", TRAIN)
    assert (put.state, put.attempts, put.result) == ("waiting", 0, None)
    work(wait=False, beat=0.5)
    done = app.jobs.get(put.job_id)
    assert (done.state, done.progress, done.attempts, done.error) == ("done", 1.0, 1, None)
    assert done.result
    assert [each.version for each in app.models.list(LOAD)] == [done.result["version"]]
    assert done.result["promoted"] is True
    assert done.result["card"]["candidate"] == done.result["candidate"]
    assert app.models.list(LOAD)[0].deployed_by == put.asked_by == "somebody at this machine"


def test_a_second_start_with_the_same_key_is_the_first(app: App) -> None:
    one, two = (app.jobs.start("clean", {}, run_key="today") for _ in range(2))
    assert one.job_id == two.job_id
    assert neighbour(app).jobs.start("clean", {}, run_key="today").job_id != one.job_id
    work(wait=False, beat=0.5)
    assert app.jobs.get(one.job_id).attempts == 1
    assert app.jobs.start("clean", {}, run_key="today").state == "done"


def test_delivered_twice_it_is_done_once(app: App) -> None:
    app.import_(METRICS, steady(days=35))
    put = app.jobs.start("train", TRAIN)
    for _ in range(2):
        run(app.house, *sealed(app, put.job_id))
    assert (counted(app, "ml_experiments"), app.jobs.get(put.job_id).attempts) == (1, 1)


def test_what_was_written_before_the_worker_was_lost_is_not_done_again(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the model's transaction and its end: the second worker finds the version in the notes."""
    app.import_(METRICS, steady(days=35))
    put = app.jobs.start("train", TRAIN)
    with monkeypatch.context() as lost:
        lost.setattr(jobs, "end", lambda *_, **__: sys.exit())
        killed(app, put.job_id)
    assert app.jobs.get(put.job_id).state == "running"
    (version,) = (each.version for each in app.models.list(LOAD))
    run(app.house, *sealed(app, put.job_id))
    done = app.jobs.get(put.job_id)
    assert (done.state, done.attempts, done.result and done.result["version"]) == ("done", 2, version)
    assert counted(app, "ml_experiments") == 1


def test_who_lost_a_job_can_write_nothing_more_for_it(app: App) -> None:
    put = app.jobs.start("clean", {})
    with app.desk.transaction() as connection:
        first = jobs.begin(connection, app.tenant, put.job_id)
        second = jobs.begin(connection, app.tenant, put.job_id)
    assert first
    assert second
    slow, quick = (replace(app.desk, work=Work(each)) for each in (first, second))
    with pytest.raises(Ended, match="another worker"), slow.transaction() as connection:
        connection.execute("INSERT INTO audit (tenant_id, who, action, subject, details)"
                           " VALUES (%s, 'me', 'late', '', '{}')", [app.tenant])  # fmt: skip
    with quick.transaction():
        pass
    with app.desk.transaction() as connection:
        jobs.end(connection, app.tenant, first, "failed", error=("Late", "too late"))
        assert connection.execute("SELECT count(*) FROM audit WHERE action = 'late'").fetchone() == (0,)
    assert app.jobs.get(put.job_id).state == "running"


def test_predictions_in_bulk_go_on_where_they_ended(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"api-{k}" for k in range(5)]
    app.import_(METRICS, steady(*names, days=10))
    monkeypatch.setattr("foretell.app.TOGETHER", 2)
    put = app.jobs.start("predict", {"task": "inventory.demand", "whom": ["a"]})
    with pytest.raises(InvalidRequest, match="no requests about one by name"):
        app.jobs.start("predict", {"task": LOAD})
    app.jobs.cancel(put.job_id)
    products = [f"p{k}" for k in range(5)]
    times = steady(days=40)["time"][::24]
    sold = [
        {"product": name, "time": time, "quantity": 3.0 + time.day % 4, "kind": "sale"}
        for name in products
        for time in times
    ]
    app.import_("inventory.movements", pl.DataFrame(sold))
    put = app.jobs.start("predict", {"task": "inventory.demand", "request": {"horizon_days": 7}})
    kept = jobs.hold

    def hold(connection: Any, tenant: str, job: Any, **told: Any) -> Any:
        if told["notes"].get("after") == "p3":
            sys.exit()
        return kept(connection, tenant, job, **told)

    with monkeypatch.context() as lost:
        lost.setattr(jobs, "hold", hold)
        killed(app, put.job_id)
    assert counted(app, "ml_predictions") == 2
    run(app.house, *sealed(app, put.job_id))
    done = app.jobs.get(put.job_id)
    assert (done.state, done.result) == ("done", {"asked": 5, "failed": {}})
    asked = [one.served.request["product"] for one in app.predictions.list("inventory.demand")]
    assert sorted(asked) == products


# ---------------------------------------------------------------- what goes wrong


def test_what_passes_is_tried_again_later_and_then_given_up(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object) -> dict[str, Any]:
        raise Unavailable("the provider is down")

    number, waits = deed(app, monkeypatch, busy), []
    for _ in range(ATTEMPTS - 1):
        with pytest.raises(Again) as again:
            run(app.house, *sealed(app, number))
        waits.append(again.value.seconds)
        told = app.jobs.get(number)
        assert (told.state, told.error, told.message) == ("waiting", "Unavailable", "the provider is down")
    assert all(later > 1.3 * sooner for sooner, later in pairwise(waits))
    run(app.house, *sealed(app, number))
    assert (app.jobs.get(number).state, app.jobs.get(number).attempts) == ("failed", ATTEMPTS)


def test_what_is_in_vain_for_a_while_waits_and_has_not_been_tried(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    later = datetime.now(UTC) + timedelta(minutes=15)

    def resting(*_: object) -> dict[str, Any]:
        raise Unavailable("the provider is left alone", until=later)

    number = deed(app, monkeypatch, resting)
    for _ in range(2 * ATTEMPTS):
        with pytest.raises(Again) as again:
            run(app.house, *sealed(app, number))
        assert again.value.aside
        assert 890 < again.value.seconds < 900 + SPREAD
        told = app.jobs.get(number)
        assert (told.state, told.error, told.message) == ("waiting", "Unavailable", "the provider is left alone")
    later += timedelta(hours=8)
    run(app.house, *sealed(app, number))
    assert (app.jobs.get(number).state, app.jobs.get(number).notes) == ("failed", {"rests": 2 * ATTEMPTS})


def test_a_record_that_can_not_be_read_is_not_forgotten(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue deletes what ended; a job that a worker could not even take up has not."""
    put = app.jobs.start("clean", {})

    def away(*_: object) -> None:
        raise Unavailable("the database does not answer")

    with monkeypatch.context() as lost:
        lost.setattr(jobs, "begin", away)
        lost.setattr("foretell.app.worker.LATER", 0.0)
        with pytest.raises(Again):
            _take(app.house, *sealed(app, put.job_id))
    assert app.jobs.get(put.job_id).state == "waiting"


def test_what_can_never_be_done_fails_at_once(app: App) -> None:
    put = app.jobs.start("train", {"task": LOAD})
    run(app.house, *sealed(app, put.job_id))
    told = app.jobs.get(put.job_id)
    assert (told.state, told.error, told.attempts) == ("failed", "NotReady", 1)


def test_one_whose_workers_are_always_lost_is_given_up(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    number = deed(app, monkeypatch, lambda *_: sys.exit())
    for _ in range(ATTEMPTS):
        killed(app, number)
    run(app.house, *sealed(app, number))
    told = app.jobs.get(number)
    assert told.state == "failed"
    assert "workers were lost" in str(told.message)


def test_a_number_that_we_did_not_seal_is_refused(app: App) -> None:
    put = app.jobs.start("clean", {})
    other = neighbour(app)
    _, number, seal = sealed(app, put.job_id)
    for tenant, job, mark in (
        (other.tenant, number, seal),
        (app.tenant, str(uuid4()), seal),
        (app.tenant, number, "0"),
    ):
        with pytest.raises(Unauthorized, match="sealed with another secret"):
            run(app.house, tenant, job, mark)
    assert app.jobs.get(put.job_id).state == "waiting"
    told = ForetellSettings(secret="s" * 40, secret_before="t" * 40)
    Keys.of(told).unseal("text", Keys.of(ForetellSettings(secret="t" * 40)).seal("text"))  # while it is changed


def test_one_whose_seal_no_longer_holds_fails_with_those_words(app: App) -> None:
    """It was sealed, its worker was lost, and the secret was changed twice before the next one started."""
    waits, runs = app.jobs.start("clean", {}).job_id, app.jobs.start("clean", {}).job_id
    with app.desk.transaction() as connection:
        jobs.begin(connection, app.tenant, runs)
    for _ in range(2):
        rotate(ForetellSettings())
    work(wait=False, beat=0.5)
    for number in (waits, runs):
        told = app.jobs.get(number)
        assert (told.state, told.error, told.result) == ("failed", "Unauthorized", None)
        assert "sealed with another secret" in str(told.message)
        assert "start the job again" in str(told.message)


def test_one_whose_worker_is_gone_is_cancelled(app: App, alone: Path) -> None:
    number = app.jobs.start("clean", {}).job_id
    with app.desk.transaction() as connection:
        jobs.begin(connection, app.tenant, number)
    forgotten(alone)
    work(wait=False, beat=0.5)
    assert app.jobs.get(number).state == "running"  # nobody knows of it
    assert app.jobs.cancel(number).cancelled
    work(wait=False, beat=0.5)
    told = app.jobs.get(number)
    assert (told.state, told.result, told.error) == ("cancelled", None, None)


def test_what_waits_is_cancelled_at_once_and_what_runs_at_its_next_step(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = app.jobs.start("clean", {})
    assert app.jobs.cancel(waits.job_id).state == "cancelled"
    run(app.house, *sealed(app, waits.job_id))
    assert app.jobs.get(waits.job_id).attempts == 0
    with pytest.raises(Refused, match="has ended already: cancelled"):
        app.jobs.cancel(waits.job_id)

    def slow(mine: App, _: object) -> dict[str, Any]:
        app.jobs.cancel(number)
        assert mine.desk.work
        mine.desk.work.far(mine.desk, "half of it", 0.5)
        raise AssertionError("it goes on")

    number = deed(app, monkeypatch, slow)
    run(app.house, *sealed(app, number))
    told = app.jobs.get(number)
    assert (told.state, told.result, told.error) == ("cancelled", None, None)


def test_what_can_not_be_started_is_said(app: App) -> None:
    for kind, told, error, words in (
        ("dance", {}, NotFound, "there are train, retrain, predict, refresh, detect, collect"),
        ("train", {"task": "traffic.jam"}, NotFound, "there are traffic.load"),
        ("train", {"tusk": LOAD}, InvalidRequest, "task: Field required; tusk: there is no such field here"),
        ("detect", {"report": "agile.scale"}, NotFound, "looks at nothing regularly"),
    ):
        with pytest.raises(error, match=words):
            app.jobs.start(kind, told)
    with pytest.raises(NotFound, match="there is no job"):
        app.jobs.get(uuid4())
    assert app.jobs.list() == []


def test_another_tenants_jobs_are_not_there(app: App) -> None:
    put, other = app.jobs.start("clean", {}), neighbour(app)
    assert other.jobs.list() == []
    for deed_ in (other.jobs.get, other.jobs.cancel):
        with pytest.raises(NotFound):
            deed_(put.job_id)


# ---------------------------------------------------------------- who comes first


def test_who_asks_for_little_does_not_wait_for_who_asks_for_much(app: App) -> None:
    """Fair: after each job of the many, whoever has fewer waiting comes first."""
    small = neighbour(app)
    many = [app.jobs.start("clean", {}).job_id for _ in range(20)]
    few = [small.jobs.start("clean", {}).job_id for _ in range(2)]
    work(wait=False, beat=0.5)
    order = sorted((each.ended_at, each.job_id) for one in (app, small) for each in one.jobs.list())
    places = [place for place, (_, number) in enumerate(order) if number in few]
    assert len(order) == 22
    assert places[-1] < 6, places
    assert {number for _, number in order} == {*many, *few}


def scheduled(app: App) -> App:
    """The tenant as the schedule acts for it."""
    return App(replace(app.desk, who=SCHEDULE))


def test_what_somebody_asked_for_comes_before_what_was_due_and_a_notice_before_all(app: App) -> None:
    small = neighbour(app)
    due = [scheduled(one).jobs.start("clean", {}).job_id for one in (app, small) for _ in range(5)]
    asked = [app.jobs.start("clean", {}).job_id for _ in range(4)]
    late = [small.jobs.start("clean", {}).job_id]
    grave = Finding(kind="late", severity="high", words="it is late", evidence={})
    for one in (scheduled(app), small):
        with one.desk.inside() as connection:
            tell(one.desk, connection, "toys", [grave])
    work(wait=False, beat=0.5)
    done = sorted(
        (each for one in (app, small) for each in one.jobs.list()), key=lambda each: (each.ended_at, each.job_id)
    )
    assert [each.kind for each in done[:2]] == ["notify", "notify"]
    assert {each.job_id for each in done[2:7]} == {*asked, *late}
    assert late[0] in [each.job_id for each in done[2:5]]  # fair among those that were asked for
    assert {each.job_id for each in done[7:]} == {*due}


def test_a_notice_does_not_wait_for_trainings(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker trains, and does beside it one after the other what takes less time; a tenant's turn holds in each."""
    small, going, told, most = neighbour(app), set[str](), threading.Event(), list[set[str]]()

    def training(mine: App, _: object) -> dict[str, Any]:
        going.add(f"long {mine.tenant}")
        most.append({*going})
        assert told.wait(60)
        going.discard(f"long {mine.tenant}")
        return {}

    def short(mine: App, _: object) -> dict[str, Any]:
        going.add(f"short {mine.tenant}")
        most.append({*going})
        time.sleep(0.05)
        going.discard(f"short {mine.tenant}")
        return {}

    for name, do, queue in (("long", training, "ml_training"), ("short", short, "ml_analysis")):
        kind = Kind(queue=queue, told=Told, subject=lambda _: "it", there=lambda *_: None, do=do)  # type: ignore[arg-type]
        monkeypatch.setitem(kinds.KINDS, name, kind)
    for one in (app, small):
        for name in ("long", "long", "short", "short"):
            one.jobs.start(name, {})
    made = App(app.desk).notices.trial()

    def ends() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end and not told.is_set():
            shorts = [each for one in (app, small) for each in one.jobs.list() if each.kind != "long"]
            if all(each.ended_at for each in shorts) and any("long" in name for name in going):
                told.set()
            time.sleep(0.05)
        while time.monotonic() < end and any(not each.ended_at for one in (app, small) for each in one.jobs.list()):
            time.sleep(0.05)
        signal.raise_signal(signal.SIGTERM)

    watch = threading.Thread(target=ends)
    watch.start()
    work(beat=0.5)
    watch.join()
    assert {each.state for one in (app, small) for each in one.jobs.list()} == {"done"}
    assert app.notices.get(made.notice_id).sent_at
    assert all(len({name.split()[0] for name in each}) == len(each) for each in most)  # one of each at a time
    assert max(len(each) for each in most) == 2


def test_a_worker_may_keep_to_some_queues(app: App) -> None:
    app.jobs.start("clean", {})
    app.jobs.start("train", {"task": LOAD})
    work(wait=False, beat=0.5, queues=["ml_training"])
    assert {each.kind: each.state for each in app.jobs.list()} == {"clean": "waiting", "train": "failed"}
    assert [_lanes(QUEUES), _lanes(QUEUES[:1]), _lanes(QUEUES[1:])] == [
        [["ml_training"], ["ml_analysis", "maintenance"]], [["ml_training"]], [["ml_analysis", "maintenance"]],
    ]  # fmt: skip


# ---------------------------------------------------------------- a worker is lost


def test_a_lost_workers_job_is_done_by_another(app: App, alone: Path) -> None:
    app.import_(METRICS, steady(days=60))
    put = app.jobs.start("train", {"task": LOAD})
    command = [str(Path(sys.executable).with_name("foretell")), "worker", "--beat", "0.3"]
    first = subprocess.Popen(command)
    end = time.monotonic() + 120
    while app.jobs.get(put.job_id).progress == 0:
        assert time.monotonic() < end
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert app.jobs.get(put.job_id).state == "running"
    second = subprocess.Popen(command)
    try:
        while app.jobs.get(put.job_id).state == "running":
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        second.terminate()
        assert second.wait(60) == 0
    done = app.jobs.get(put.job_id)
    assert (done.state, done.attempts) == ("done", 2)
    assert counted(app, "ml_experiments") == 1


def test_a_worker_sees_whose_jobs_there_are_and_nothing_else(app: App) -> None:
    app.import_(METRICS, steady(days=2))
    app.jobs.start("clean", {})
    eyes = stores({}, role="foretell_worker", size=1).database
    try:
        with eyes.nobody() as connection:
            ((args,),) = connection.execute("SELECT args FROM foretell_queue.procrastinate_jobs").fetchall()
        assert {*args} == {"tenant", "job", "seal"}
        assert args["tenant"] == app.tenant
    finally:
        eyes.close()
