"""Energy: solar and wind output from weather, physics first, learning second."""

from datetime import timedelta
from functools import partial

from foretell.contract import Domain, Gate, Report, Rolling, Task
from foretell.domains.energy import decide, features, models, networks, routes, sample, watch
from foretell.domains.energy.schema import OutputAnswer, OutputRequest, Settings, WatchAnswer, WatchRequest
from foretell.domains.energy.sources import SOURCES
from foretell.domains.energy.tables import FORECASTS, OBSERVED, PLANTS, READINGS, Kind

NETWORK: dict[Kind, str] = {"solar": "lstm", "wind": "gru"}


def _task(kind: Kind) -> Task:
    """The output of plants of a kind."""
    return Task(
        name=f"energy.{kind}",
        target=models.OUTPUT,
        reads=features.READS,
        request=OutputRequest,
        answer=OutputAnswer,
        about=decide.about,
        ask=partial(decide.ask, kind),
        questions=partial(features.questions, kind),
        features=partial(features.features, kind),
        outcomes=features.outcomes,
        candidates={
            "smart_persistence": partial(models.Repeated, "smart"),
            "persistence": partial(models.Repeated, "lag_day"),
            "physical": partial(models.Physical, kind),
            "corrected": partial(models.Corrected, kind),
            "boosted": partial(models.Trees, kind),
            "ensemble": partial(models.Ensemble, kind),
            NETWORK[kind]: partial(networks.Sequences, kind),
        },
        decide=partial(decide.decide, kind),
        headline=decide.headline,
        rolling=Rolling(folds=3, span=timedelta(days=21)),
        gate=Gate(metric="pinball", skill=0.02, least=100),
        budget=165.0,  # so that trees are raced however many plants there are
        meanwhile="physical",
        scope="plant",
        whom="plant",
        lasting=timedelta(minutes=30),
        routes=[routes.route(kind)],
    )


SOLAR, WIND = _task("solar"), _task("wind")

WATCH = Report(
    name="energy.watch",
    summary="what a plant put out beside what the weather should have given, and what is amiss",
    reads=watch.READS,
    request=WatchRequest,
    answer=WatchAnswer,
    compute=watch.watch,
    about=watch.about,
    subject="plant",
    findings=watch.findings,
    watched=watch.watched,
)

DOMAIN = Domain(
    name="energy",
    summary="solar and wind output from weather",
    settings=Settings,
    tables=[PLANTS, READINGS, OBSERVED, FORECASTS],
    tasks=[SOLAR, WIND],
    reports=[WATCH],
    sources=SOURCES,
    sample=sample.sample,
)
