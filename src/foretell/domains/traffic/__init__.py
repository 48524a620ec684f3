"""Traffic: the load of services around calendars such as Ramadan, and the replicas for it."""

from datetime import timedelta

from foretell.contract import Domain, Gate, Rolling, Task
from foretell.domains.traffic import confidence, decide, features, models, replay, routes, sample, scaling
from foretell.domains.traffic.hybrid import HybridForecaster
from foretell.domains.traffic.schema import METRICS, LoadAnswer, LoadRequest, Settings

LOAD = Task(
    name="traffic.load",
    target=models.LOAD,
    reads=features.READS,
    request=LoadRequest,
    answer=LoadAnswer,
    about=decide.about,
    ask=decide.ask,
    questions=features.questions,
    features=features.features,
    outcomes=features.outcomes,
    candidates={
        "weekly_naive": models.weekly_naive,
        "seasonal_baseline": models.SeasonalBaselineModel,
        "pattern_learner": HybridForecaster,
        "boosted_19": models.boosted_19,
        "theta": models.theta,
    },
    decide=decide.decide,
    headline=decide.headline,
    rolling=Rolling(folds=3, span=timedelta(days=7), every=timedelta(hours=4)),
    gate=Gate(metric="pinball", skill=0.02, margin=0.0, least=100),
    budget=30.0,
    routes=[routes.PREDICT, routes.TRAIN],
    counts=[routes.RECOMMENDED],
    trust=confidence.TRUST,
    proposing=scaling.PROPOSING,
    replay=replay.REPLAY,
)

DOMAIN = Domain(
    name="traffic",
    summary="load of services around calendars, and the replicas for it",
    settings=Settings,
    tables=[METRICS],
    tasks=[LOAD],
    sample=sample.sample,
)
