"""Each public check catches what it is there for: one fault at a time is planted in a domain that keeps them all."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
import pytest
from pydantic import BaseModel
from tests.toys import DAY, HOUR, About, Nothing, choice, installed, late_outcomes, plain
from tests.toys.plain import Said

from foretell import Chance, Choice, Cost, Domain, Forecast, Frame, Gate, History, Quantity, Read, Sample, Study, Table
from foretell.engine.outcomes import settled
from foretell.errors import BrokenDomain
from foretell.testing import check_domain, check_model
from foretell.testing.files import pickles


class Value(BaseModel):
    entity: str
    time: datetime
    value: float
    arrived: datetime


class Plain(BaseModel):
    entity: str
    time: datetime
    value: float


def recent(history: History, questions: Frame, known_by: timedelta = timedelta()) -> pl.Series:
    """The mean of what became known in the day before each question."""
    asked = questions.with_row_index("place").select("place", "entity", "as_of")
    both = asked.join(history["values"].select("entity", "known_at", "value"), on="entity")
    age = pl.col("as_of") + known_by - pl.col("known_at")
    means = both.filter((age >= timedelta()) & (age < DAY)).group_by("place").agg(pl.col("value").mean())
    return asked.join(means, on="place", how="left", maintain_order="left")["value"]


def features(history: History, questions: Frame) -> Frame:
    return pl.DataFrame({"recent": recent(history, questions)})


class Shift:
    """The recent mean and how far off it usually was."""

    needs_training = True
    cost = Cost()

    def __init__(self) -> None:
        self.shift = 0.0

    def fit(self, study: Study, outcomes: Frame) -> Self:
        self.shift = float((outcomes["value"].to_numpy() - study.features["recent"])[60:].mean())
        return self

    def point(self, study: Study) -> pl.Series:
        return pl.Series(study.features["recent"] + self.shift).fill_nan(None)

    def forecast(self, study: Study) -> Forecast:
        point = self.point(study)
        return Forecast(rows=pl.DataFrame({"point": point, "q10": point - 1, "q50": point, "q90": point + 1}))

    def save(self, folder: Path) -> None:
        (folder / "shift.json").write_text(json.dumps(self.shift))

    def load(self, folder: Path) -> Self:
        self.shift = json.loads((folder / "shift.json").read_text())
        return self


TASK = replace(
    plain.TASK,
    name="sound.plain",
    reads=[Read(table="values", window=2 * DAY)],
    features=features,
    candidates={"zero": plain.Told, "shift": Shift},
)
TABLE = Table(name="values", row=Value, key=("entity", "time"), time="time", entity=("entity",), known_at="arrived")


def sample(seed: int) -> Sample:
    history = plain.history(seed=seed)
    return Sample(history=history, requests={"sound.plain": [About(entity=e, at=history.now) for e in ("a", "b")]})


DOMAIN = Domain(
    name="sound", summary="Keeps every rule.", settings=Nothing, tables=[TABLE], tasks=[TASK], sample=sample
)


def planted(**changes: Any) -> Domain:
    return replace(DOMAIN, tasks=[replace(TASK, **changes)])


def caught(domain: Domain, *words: str) -> None:
    with pytest.raises(BrokenDomain) as error:
        check_domain(domain)
    for each in words:
        assert each in str(error.value), str(error.value)


def test_a_sound_domain_passes() -> None:
    check_domain(DOMAIN)
    check_domain(DOMAIN, seed=7)


# ---------------------------------------------------------------- what is declared


def named(name: str) -> Domain:
    """The sound domain with its task named so."""

    def renamed(seed: int) -> Sample:
        made = sample(seed)
        return replace(made, requests={name: made.requests["sound.plain"]})

    return replace(DOMAIN, tasks=[replace(TASK, name=name)], sample=renamed)


def test_names_by_which_nobody_finds_a_thing_are_caught() -> None:
    for name in ("plain", "traffic.plain"):
        caught(
            named(name), f"sound: a task or report is named {name!r}, by which nobody finds it; name it 'sound.plain'"
        )
    for name in ("sound.Plain", "sound.a.b", "sound."):
        caught(named(name), "sound: a task or report is named '", "write it in small letters, digits and underscores")
    caught(replace(DOMAIN, name="Sound"), "Sound: a domain is named 'Sound'; write it in small letters")
    caught(replace(DOMAIN, tasks=[TASK, TASK]), "sound: 'sound.plain' is there twice; only one of them would be found")


def test_a_table_to_read_that_is_not_there_is_caught() -> None:
    other = Read(table="value", window=DAY)
    for change in ({"reads": [*TASK.reads, other]}, {"told_by": [other]}):
        caught(planted(**change), "sound, sound.plain: there is no table 'value' to read; there are values")


def test_a_request_about_a_column_that_no_read_names_is_caught() -> None:
    about = planted(about=lambda request: {"customer": [request.entity]})
    caught(about, "sound, sound.plain: about names 'customer', which no read has as its `by`; the reads have entity")
    check_domain(planted(about=lambda request: {"entity": [request.entity]}), deep=False)


def test_a_gate_that_can_not_be_measured_is_caught() -> None:
    for metric in ("pinbal", "r2", "brier"):
        words = (
            f"sound, sound.plain: the gate's metric is {metric!r}; for a Quantity there are pinball, mae, rmse, mape"
        )
        caught(planted(gate=Gate(metric=metric)), words)


def test_questions_that_are_there_twice_are_caught() -> None:
    def twice(history: History) -> Frame:
        asked = plain.TASK.questions(history)
        return pl.concat([asked, asked.head(3)])

    caught(
        planted(questions=twice), "sound, sound.plain: 6 of 483 past questions are there more than once; the first is"
    )


def test_outcomes_that_are_not_the_targets_are_caught() -> None:
    def told(value: pl.Expr) -> Any:
        return lambda history, questions: plain.outcomes(history, questions).with_columns(value=value)

    text = pl.col("value").cast(pl.String)
    caught(planted(outcomes=told(text)), "sound, sound.plain: the outcomes are String; those of a Quantity are numbers")
    endless = pl.col("value") / 0
    caught(
        planted(outcomes=told(endless)), "sound, sound.plain: the outcomes of a Quantity are finite; for the question"
    )
    chance = planted(target=Chance(event="it rains"), gate=Gate(metric="brier"))
    caught(chance, "sound, sound.plain: the outcomes of a Chance are 0 or 1; for the question about", "it is ")


def test_features_that_are_no_frame_are_caught() -> None:
    array = planted(features=lambda history, questions: features(history, questions).to_numpy())
    caught(array, "sound, sound.plain: features are of ndarray; give a polars frame, or a Block")


# ---------------------------------------------------------------- features and outcomes


def peek(history: History, questions: Frame) -> Frame:
    return pl.DataFrame({"recent": recent(history, questions, 6 * HOUR)})


def leak(history: History, questions: Frame) -> Frame:
    level = history["values"].select(pl.col("value").mean().fill_null(1.0)).item()
    return features(history, questions).with_columns(pl.col("recent") / level)


def late_leak(history: History, questions: Frame) -> Frame:
    """By the time it happened instead of the time it was known."""
    values = history["values"].select("entity", last="value", as_of="time").sort("as_of")
    return questions.join(values, on=["entity", "as_of"], how="left", maintain_order="left").select(recent="last")


@pytest.mark.parametrize("made", [peek, leak, late_leak])
def test_a_feature_that_knows_the_future_is_caught(made: Any) -> None:
    caught(
        planted(features=made),
        "sound, sound.plain: cutting the future away changes feature recent of",
        "for the question about ",
        "asked at 2024-01-",
        " as known then, ",
        " on the whole history",
    )


def counted(history: History, questions: Frame) -> Frame:
    return features(history, questions).with_columns(pl.col("recent") + pl.int_range(pl.len()))


def merged(history: History, questions: Frame) -> Frame:
    return questions.unique(maintain_order=True).pipe(lambda asked: features(history, asked))


def test_features_that_depend_on_the_order_or_number_of_questions_are_caught() -> None:
    caught(
        planted(features=counted),
        "sound, sound.plain: the order of the questions changes feature recent",
        " shuffled, ",
    )
    caught(planted(features=merged), "sound, ", "plain: ", "rows of features for", "One row per question, in any order")


def test_outcomes_that_depend_on_the_order_or_number_of_questions_are_caught() -> None:
    def ordered(history: History, questions: Frame) -> Frame:
        return plain.outcomes(history, questions.sort("as_of", "entity"))

    def doubled(history: History, questions: Frame) -> Frame:
        found = plain.outcomes(history, questions)
        return pl.concat([found, found])

    caught(planted(outcomes=ordered), "sound, sound.plain: the order of the questions changes the outcome's ")
    caught(planted(outcomes=doubled), "sound, sound.plain: outcomes must give", "one row a question")


def test_an_infinite_feature_is_caught() -> None:
    def infinite(history: History, questions: Frame) -> Frame:
        return features(history, questions) / (questions["at"].dt.hour() % 7).cast(pl.Float64).sign()

    caught(planted(features=infinite), "sound, sound.plain: feature recent is infinite for the question about")


def test_reads_that_are_too_narrow_are_caught() -> None:
    narrow = [Read(table="values", window=12 * HOUR)]
    caught(planted(reads=narrow), "sound, sound.plain: the declared reads are too narrow: they change feature recent")
    caught(
        planted(reads=[]), "sound, sound.plain: the declared reads are too narrow: no features", "KeyError: 'values'"
    )

    def of_all(history: History, questions: Frame) -> Frame:
        at = history["values"].group_by("known_at").agg(recent=pl.col("value").mean())
        joined = questions.join(at, left_on="as_of", right_on="known_at", how="left", maintain_order="left")
        return joined.select("recent")

    caught(planted(features=of_all), "the declared reads are too narrow: they change feature recent", "1 of 1")


def test_reads_that_are_too_narrow_to_learn_are_caught() -> None:
    bare = [Read(table="values", window=2 * DAY, columns=("value",))]
    caught(
        planted(reads=bare), "sound, sound.plain: the declared reads are too narrow: no past questions", 'column "time"'
    )

    def few(history: History) -> Frame:
        return plain.TASK.questions(history).head(500 if "arrived" in history["values"].columns else 400)

    def arrived(seed: int) -> Sample:
        made = sample(seed)
        values = made.history["values"].with_columns(arrived="known_at")
        return replace(made, history=History(made.history.standpoint, {"values": values}))

    seen = [Read(table="values", window=2 * DAY, columns=("time", "value"))]
    domain = replace(planted(reads=seen, questions=few), sample=arrived)
    caught(domain, "sound, sound.plain: the declared reads are too narrow: they change the past questions")

    def of_all(history: History, questions: Frame) -> Frame:
        mean = history["values"].group_by(at="time").agg(pl.col("known_at").max(), pl.col("value").mean())
        return questions.join(mean, on="at", how="left", maintain_order="left").select("value", "known_at")

    caught(planted(outcomes=of_all), "the declared reads are too narrow: they change the outcome's value", "1 of 1")


class Reads(Shift):
    """Reads more of the history than the features do."""

    window: ClassVar = 8 * DAY

    def point(self, study: Study) -> pl.Series:
        said = np.zeros(study.questions.height)
        for places, known in study.by_as_of():
            since = known.history["values"].filter(pl.col("known_at") > known.history.now - self.window)
            said[places] = float(since["value"].to_numpy().sum())
        return pl.Series(said)


def test_a_candidate_or_an_answer_that_reads_more_than_declared_is_caught() -> None:
    both = {"zero": plain.Told, "shift": Reads}
    caught(
        planted(candidates=both), "sound, sound.plain, candidate shift: the declared reads are too narrow: they change"
    )

    def decide(forecast: Forecast, request: About, history: History) -> Said:
        return Said(said=[forecast.rows["point"][0] + history["values"].height])

    caught(
        planted(decide=decide),
        "the declared reads are too narrow: they change the answer to request About(entity='a'",
        "the answer.said[0]: ",
    )


def open_as_zero(history: History, questions: Frame) -> Frame:
    return plain.outcomes(history, questions).with_columns(pl.col("value").fill_null(0.0))


def open_as_zero_known_in_time(history: History, questions: Frame) -> Frame:
    return open_as_zero(history, questions).with_columns(known_at=questions["at"] + HOUR)


@pytest.mark.parametrize("made", [open_as_zero, open_as_zero_known_in_time])
def test_an_open_outcome_counted_as_zero_is_caught(made: Any) -> None:
    caught(planted(outcomes=made), "sound, sound.plain: an open outcome is not null; for the question", "0.0, known at")


def open_as_zero_for_now(history: History, questions: Frame) -> Frame:
    found, soon = open_as_zero(history, questions), questions["as_of"] + HOUR / 2
    known = pl.select(pl.when(soon <= history.now).then(soon)).to_series()
    return found.with_columns(
        pl.when(known.is_not_null()).then("value").alias("value"), pl.col("known_at").fill_null(known)
    )


def revised(history: History, questions: Frame) -> Frame:
    found = plain.outcomes(history, questions)
    return found.with_columns(pl.col("value") + (pl.lit(history.now) - pl.col("known_at") > DAY).cast(pl.Float64))


def void_for_a_day(history: History, questions: Frame) -> Frame:
    found = plain.outcomes(history, questions)
    return found.with_columns(pl.when(pl.lit(history.now) - pl.col("known_at") > DAY).then("value").alias("value"))


def forgotten(history: History, questions: Frame) -> Frame:
    fresh = pl.lit(history.now) - pl.col("known_at") < 2 * DAY
    return plain.outcomes(history, questions).select(
        pl.when(fresh).then("value").alias("value"), pl.when(fresh).then("known_at").alias("known_at")
    )


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (open_as_zero_for_now, "an outcome that was known is open later, or known anew"),
        (revised, "a known outcome changes later"),
        (void_for_a_day, "a known outcome changes later"),
        (forgotten, "an outcome that was known is open later, or known anew"),
    ],
)
def test_an_outcome_that_changes_later_is_caught(made: Any, words: str) -> None:
    caught(planted(outcomes=made), f"sound, sound.plain: {words}; for the question about", " as known at 2024-01-")


def test_an_outcome_known_at_its_own_as_of_is_caught() -> None:
    def at_once(history: History, questions: Frame) -> Frame:
        found = plain.outcomes(history, questions)
        return found.select("value", known_at=pl.when(pl.col("known_at").is_not_null()).then(questions["as_of"]))

    caught(
        planted(outcomes=at_once), "sound, sound.plain: an outcome is known at its own as_of", "for the question about"
    )


# ---------------------------------------------------------------- the sample


def changed(change: Callable[[Sample, int], Sample]) -> Domain:
    return replace(DOMAIN, sample=lambda seed: change(sample(seed), seed))


def facts(made: Sample, frame: Frame) -> Sample:
    there = made.history
    return replace(made, history=History(there.standpoint, {"values": frame}))


def test_an_unseeded_sample_is_caught() -> None:
    random = np.random.default_rng(5)
    unseeded = replace(DOMAIN, sample=lambda seed: sample(int(random.integers(1000))))
    caught(unseeded, "sound: sample(1) is not the same twice: table values, column value, row 0: ", " and ")
    caught(replace(DOMAIN, sample=lambda seed: sample(1)), "sound: sample(1) and sample(2) are the same")


def test_facts_that_break_their_table_are_caught() -> None:
    where = "sound, table values of the sample"
    double = changed(lambda made, _: facts(made, pl.concat([made.history["values"], made.history["values"].head(3)])))
    caught(double, where, "6 rows share a key")
    bare = changed(lambda made, _: facts(made, made.history["values"].drop("value")))
    caught(bare, where, "no column value")
    foreign = changed(lambda made, _: facts(made, made.history["values"].with_columns(more=1)))
    caught(foreign, where, "a column more that its rows do not declare")
    early = changed(lambda made, _: facts(made, made.history["values"].with_columns(pl.col("known_at") + DAY)))
    caught(early, where, "known after the sample's now")
    text = changed(lambda made, _: facts(made, made.history["values"].with_columns(value=pl.lit("much"))))
    caught(text, where, "is not valid")
    positive = replace(TABLE, rules={"the value must be above 8": pl.col("value") > 8})
    caught(replace(DOMAIN, tables=[positive]), where, "break the rule 'the value must be above 8'")
    unsaid = replace(TABLE, row=Plain, known_at=None)
    ahead = changed(lambda made, _: facts(made, made.history["values"].with_columns(pl.col("time") + DAY)))
    caught(replace(ahead, tables=[unsaid]), where, "known before it happened")


def test_requests_that_are_not_the_tasks_are_caught() -> None:
    caught(changed(lambda made, _: replace(made, requests={})), "sound, sound.plain: the sample has no request")
    other = changed(lambda made, _: replace(made, requests={"sound.plain": [Nothing()]}))
    caught(other, "the sample's request is a Nothing, not a About")


# ---------------------------------------------------------------- answers and the race


def test_an_answer_that_moves_the_wrong_way_is_caught() -> None:
    caught(
        planted(headline=lambda answer: -answer.said[0]),
        "sound, sound.plain: the answer moves the wrong way: its headline falls from",
        "for request About(entity='a'",
    )


def test_an_answer_that_never_moves_is_caught() -> None:
    caught(planted(headline=lambda answer: 1.0), "sound, sound.plain: the answer never moves")

    def same(forecast: Forecast, request: choice.NewTicket, history: History) -> choice.Who:
        return choice.Who(who="ann", chance=1.0, others={})

    always = replace(choice.DOMAIN, tasks=[replace(choice.TASK, decide=same)])
    caught(
        installed(always),
        "tickets, tickets.who: the answer never moves",
        "whichever of p:ann, p:bob, p:cem is almost certain",
    )


def test_a_chance_that_moves_the_wrong_way_is_caught() -> None:
    wrong = replace(late_outcomes.TASK, headline=lambda answer: 1 - answer.chance)
    caught(
        installed(replace(late_outcomes.DOMAIN, tasks=[wrong])),
        "returns, returns.returns: the answer moves the wrong way",
    )


MUCH: dict[str, Any] = {"said": ["much"]}


def test_an_answer_that_is_not_valid_is_caught() -> None:
    class Positive(Said):
        pass

    caught(planted(answer=Positive), "sound, sound.plain: decide gives a Said, not a Positive")
    caught(
        planted(decide=lambda forecast, request, history: Said.model_construct(**MUCH)),
        "sound, sound.plain: the answer to request About(",
        "is not valid",
    )
    nan = planted(decide=lambda forecast, request, history: Said(said=[1.0, float("nan")]))
    caught(nan, "sound, sound.plain: the answer to request About(", "is not valid")
    caught(planted(headline=lambda answer: float("inf")), "the headline of the answer to request About(", "is inf")


def test_a_baseline_that_no_candidate_beats_is_caught() -> None:
    caught(
        planted(candidates={"shift": Shift, "zero": plain.Told}),
        "sound, sound.plain: no candidate beats the baseline: mae 0.",
        "of shift, zero ",
    )
    caught(planted(candidates={"shift": Shift}), "sound, sound.plain: no candidate beats the baseline", "nothing")


def test_nobody_answers_meanwhile_who_can_not() -> None:
    caught(planted(meanwhile="nobody"), "sound, sound.plain: meanwhile is 'nobody', which is no candidate; there are ")
    trained = next(name for name, make in TASK.candidates.items() if make().needs_training)
    caught(planted(meanwhile=trained), f"sound, sound.plain: {trained}, which is to answer meanwhile, needs training")


def test_a_mistake_is_told_with_its_domain_task_and_check() -> None:
    def broken(history: History, questions: Frame) -> Frame:
        raise ZeroDivisionError("oh")

    place = f"(test_testing.py:{broken.__code__.co_firstlineno + 1} in broken)"
    caught(
        planted(outcomes=broken),
        f"sound, sound.plain: ZeroDivisionError: oh {place}",
        "One row per question, in any order",
    )


# ---------------------------------------------------------------- forecasters


def studied(domain: Domain = DOMAIN) -> tuple[Study, Frame]:
    """What a model alone is checked on."""
    made, task = domain.sample(1), domain.tasks[0]
    done = settled(task, made.history, task.questions(made.history))
    return task.study(made.history, done.drop("value", "known_at")), done.select("value", "known_at")


METRE = Quantity(unit="m")


def refused(make: Any, *words: str, target: Quantity | Chance | Choice = METRE) -> None:
    study, outcomes = studied()
    with pytest.raises(BrokenDomain) as error:
        check_model(make, study, outcomes, target)
    for each in ("model ", *words):
        assert each in str(error.value), str(error.value)


def test_a_sound_model_passes() -> None:
    study, outcomes = studied()
    check_model(Shift, study, outcomes, METRE)
    check_model(lambda: plain.Told(3.0, trains=False), study, outcomes, METRE, name="three")
    rate = lambda: late_outcomes.Rate("shop")  # noqa: E731
    check_model(rate, *studied(late_outcomes.DOMAIN), late_outcomes.TASK.target)
    for make in choice.TASK.candidates.values():
        check_model(make, *studied(choice.DOMAIN), choice.TASK.target)


class Peeks(Shift):
    def point(self, study: Study) -> pl.Series:
        newest = study.history["values"]["value"].last() or 0.0
        return pl.repeat(newest, study.questions.height, dtype=pl.Float64, eager=True)


class Worlds(Shift):
    """Its worlds alone know the future."""

    def forecast(self, study: Study) -> Forecast:
        draws = np.full((study.questions.height, 5), float(study.history["values"].height))
        return Forecast(rows=super().forecast(study).rows, draws=draws)


def test_a_forecaster_that_peeks_at_the_future_is_caught() -> None:
    refused(Peeks, "model Peeks: cutting the future away changes point", " as known then")
    refused(Worlds, "model Worlds: cutting the future away changes draws of", "480.0 on the whole history")
    caught(
        planted(candidates={"zero": plain.Told, "peeks": Peeks}),
        "sound, sound.plain, candidate peeks: cutting the future",
    )


class Rounds(Shift):
    def save(self, folder: Path) -> None:
        (folder / "shift.json").write_text(json.dumps(round(self.shift, 3)))


class Single(Shift):
    def save(self, folder: Path) -> None:
        (folder / "shift.json").write_text(json.dumps(float(np.float32(self.shift))))


class LastBit(Shift):
    def load(self, folder: Path) -> Self:
        super().load(folder)
        self.shift += 2e-15
        return self


class Forgets(Shift):
    def save(self, folder: Path) -> None:
        (folder / "shift.json").write_text("0.0")


@pytest.mark.parametrize("make", [Rounds, Single, LastBit, Forgets])
def test_a_lossy_save_is_caught(make: Any) -> None:
    refused(make, f"model {make.__name__}: saving and loading changes point of", " after loading, ", " before saving")


class Pickles(Shift):
    protocol = 5

    def save(self, folder: Path) -> None:
        (folder / "state").write_bytes(pickle.dumps(self.shift, protocol=self.protocol))

    def load(self, folder: Path) -> Self:
        self.shift = pickle.loads((folder / "state").read_bytes())
        return self


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_in_the_folder_is_caught(protocol: int) -> None:
    make = type("Old", (Pickles,), {"protocol": protocol})
    refused(make, "model Old saves a pickle: state; write JSON")


def test_pickles_are_found_by_name_by_opcodes_and_in_archives(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "model.pkl").write_text("{}")
    (tmp_path / "text").write_bytes(pickle.dumps({"a": [1, 2.5, "three"]}, protocol=0) + b"\n")
    np.savez(tmp_path / "objects.npz", one=np.array([{"a": 1}], dtype=object))
    np.save(tmp_path / "object.npy", np.array([{"a": 1}], dtype=object))
    assert pickles(tmp_path) == ["deep/model.pkl", "object.npy", "objects.npz", "text"]


def test_plain_files_are_no_pickles(tmp_path: Path) -> None:
    np.savez(tmp_path / "numbers.npz", one=np.arange(9.0), two=np.array(["a", "b"]))
    np.savez_compressed(tmp_path / "small.npz", one=np.arange(9.0))
    for name, text in {"a": "", "b": ".", "c": "[1, 2.0]", "d": "tree\nversion=v4\n", "e": "N. B.", "f": "0.5"}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "bytes").write_bytes(bytes(range(256)))
    assert pickles(tmp_path) == []


def test_quantiles_that_cross_are_caught() -> None:
    refused(lambda: plain.Told(1.0, width=-2.0), "gives quantiles that cross; for the question about", "q10 2.0")
    caught(
        planted(candidates={"zero": lambda: plain.Told(width=-1.0), "shift": Shift}),
        "sound, sound.plain, candidate zero gives quantiles that cross",
    )


def test_a_forecast_that_breaks_its_form_is_caught() -> None:
    refused(lambda: plain.Told(1.5), "gives a chance outside 0 to 1", "chance 1.5", target=Chance(event="rain"))
    classes = Choice(of="class")
    refused(lambda: plain.Told(0.4, name="p:a"), "do not sum to 1", "p:a 0.4", target=classes)
    refused(plain.Told, "says nothing", target=classes)
    refused(plain.Told, "gives no column q25", target=Quantity(unit="m", levels=(0.25, 0.5)))
    refused(lambda: plain.Told(float("nan")), "says nothing to any of 24 questions")
    refused(lambda: plain.Told(float("inf")), "gives an infinite forecast")
    refused(lambda: plain.Told(lambda study: pl.Series([1.0])), "gives 1 rows for 24 questions; one row a question")


def test_a_forecaster_that_depends_on_the_order_is_caught() -> None:
    counts = lambda: plain.Told(lambda study: pl.Series(range(study.questions.height)))  # noqa: E731
    refused(counts, "the order of the questions changes point of")


class AddsAColumn(Shift):
    def fit(self, study: Study, outcomes: Frame) -> Self:
        study.questions.insert_column(0, pl.repeat(1, study.questions.height, eager=True).alias("one"))
        return super().fit(study, outcomes)


class SetsAValue(Shift):
    def forecast(self, study: Study) -> Forecast:
        study.features["recent"][0] = 99.0
        return super().forecast(study)


class SetsAnOutcome(Shift):
    def fit(self, study: Study, outcomes: Frame) -> Self:
        outcomes[0, "value"] = 99.0
        return super().fit(study, outcomes)


class SwapsATable(Shift):
    def forecast(self, study: Study) -> Forecast:
        study.history.tables["values"] = study.history["values"].head(1)  # type: ignore[index]
        return super().forecast(study)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (AddsAColumn, "the questions learned from, column one was added"),
        (SetsAValue, "the features of the questions asked, column recent: "),
        (SetsAnOutcome, "the outcomes, column value: "),
        (SwapsATable, "table values of the history"),
    ],
)
def test_a_forecaster_that_changes_what_it_was_given_is_caught(make: Any, words: str) -> None:
    refused(make, f"model {make.__name__} changes what it was given: {words}")


class Wavers(Shift):
    random: ClassVar = np.random.default_rng(3)

    def point(self, study: Study) -> pl.Series:
        noise = float(self.random.normal(0, 1e-13)) if study.questions.height == 8 else 0.0
        return super().point(study) + noise


class Gambles(Shift):
    random: ClassVar = np.random.default_rng(3)

    def fit(self, study: Study, outcomes: Frame) -> Self:
        super().fit(study, outcomes)
        self.shift += float(self.random.normal())
        return self


def test_a_forecaster_without_a_seed_is_caught() -> None:
    refused(Wavers, "model Wavers: asking twice changes point", " the second time, ")
    refused(Gambles, "model Gambles: fitting twice changes point", " the second time, ")


def test_a_forecaster_that_needs_no_training_is_never_fitted() -> None:
    class Untrained(Shift):
        needs_training = False

        def fit(self, study: Study, outcomes: Frame) -> Self:
            raise AssertionError("it needs no training")

    check_model(Untrained, *studied(), METRE)
