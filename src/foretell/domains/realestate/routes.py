"""The paths that the real-estate document prints, as data: each under `/v1` and under `/api/ml/v1`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field

from foretell.contract import Mixed, Route
from foretell.domains.realestate.schema import FeatureName
from foretell.domains.realestate.tables import EntityType, Id
from foretell.errors import Forbidden, InvalidRequest, NotFound, NotReady

PredictionType = Literal["MOVE_PROBABILITY", "TRANSACTION_TYPE", "CONTACT_TIMING", "PROPERTY_VALUE"]
ModelType = PredictionType  # each type of prediction has its model
Deployment = Literal["DEPLOYED", "NOT_TRAINED"]
STATUSES = {InvalidRequest: 422, NotFound: 404, NotReady: 422, Forbidden: 403}
MOST = 1000  # requests of a batch
ALSO = "/api/ml"
TOP = 5  # features named
STEADY = 0.005  # share by which a value may change and be called the same


class PredictionBody(BaseModel):
    """About whom. `features` are taken instead of what is known; without `explain` no feature is named."""

    entity_id: Id
    entity_type: EntityType = "USER"
    prediction_type: PredictionType | None = None
    features: dict[FeatureName, float | None] | None = None
    as_of_date: AwareDatetime | None = None
    explain: bool = True


class TopFeature(BaseModel):
    """What a feature adds to the chance, and its value; null where nothing is known."""

    feature_name: str
    contribution: float
    value: float | None


class Prediction(BaseModel):
    """What every prediction has; `confidence` is the answer's own, which the ledger has too."""

    prediction_id: str
    entity_id: str
    prediction_type: PredictionType
    prediction_date: str
    confidence: float
    model_version: str
    latency_ms: float


class ChanceTold(Prediction):
    """How likely a person moves."""

    predicted_value: float
    predicted_class: Literal["HIGH", "MEDIUM", "LOW"]
    top_features: list[TopFeature]


class KindTold(Prediction):
    """Which deal a person makes next."""

    predicted_value: str
    predicted_class: str
    probabilities: dict[str, float]
    top_features: list[TopFeature]


class BestTime(BaseModel):
    """A day (Monday 0) and hour by the tenant's clocks."""

    day: int
    hour: int
    chance: float


class TimingTold(Prediction):
    """When a person is best reached."""

    predicted_value: str
    predicted_class: str
    optimal_day: str
    optimal_hour: int
    alternatives: list[BestTime]
    top_features: list[TopFeature]


class ValueBody(PredictionBody):
    """Which property, and in how many months it is asked what it is worth."""

    entity_type: EntityType = "PROPERTY"
    horizon_months: Annotated[int, Field(ge=0, le=120)] = 12


class Bounds(BaseModel):
    """Between which four of five such homes are sold."""

    lower: float
    upper: float


class ValueTold(Prediction):
    """What a property is worth now and at the horizon; the class says which way it goes."""

    predicted_value: float
    predicted_class: Literal["RISING", "STEADY", "FALLING"]
    current_value: float
    horizon_months: int
    interval: Bounds
    top_features: list[TopFeature]


class HealthTold(BaseModel):
    """How a model does, counted from what is on record. `drift_detected` is null until it has been looked for."""

    model_name: str
    model_version: str | None
    status: Deployment
    deployed_at: str | None
    prediction_count: int
    avg_latency_ms: float | None
    error_rate: float
    drift_detected: bool | None
    last_prediction_at: str | None


class Nothing(BaseModel):
    """No body."""


def _of_user(body: PredictionBody) -> Mapping[str, Any]:
    if body.entity_type != "USER":
        raise InvalidRequest("entity_type must be USER: this is asked of people")
    return {"person": body.entity_id}


def _in(body: PredictionBody) -> Mapping[str, Any]:
    return {**_of_user(body), "features": body.features, "reasons": body.explain}


def _of_property(body: ValueBody) -> Mapping[str, Any]:
    if body.entity_type != "PROPERTY":
        raise InvalidRequest("entity_type must be PROPERTY: this is asked of homes")
    if body.features:
        raise InvalidRequest("no features are taken here: bring what a home is like into realestate.properties")
    return {"property": body.entity_id, "horizon_months": body.horizon_months}


def _head(kind: PredictionType, told: Mapping[str, Any]) -> dict[str, Any]:
    basis = told["foretell"]
    return {
        "prediction_id": f"{basis['prediction_id']}",
        "entity_id": told["answer"].get("person") or told["answer"]["property"],
        "prediction_type": kind,
        "prediction_date": basis["as_of"],
        "confidence": told["answer"]["confidence"],
        "model_version": basis["version"],
        "latency_ms": told["latency_ms"],
    }


def _chance(told: Mapping[str, Any]) -> dict[str, Any]:
    answer = told["answer"]
    strongest = sorted([*answer["reasons"], *answer["against"]], key=lambda one: -abs(one["contribution"]))[:TOP]
    return {
        **_head("MOVE_PROBABILITY", told),
        "predicted_value": answer["chance"],
        "predicted_class": answer["level"],
        "top_features": [
            {"feature_name": one["feature"], "contribution": one["contribution"], "value": one["value"]}
            for one in strongest
        ],
    }


def _kind(told: Mapping[str, Any]) -> dict[str, Any]:
    answer = told["answer"]
    return {
        **_head("TRANSACTION_TYPE", told),
        "predicted_value": answer["kind"],
        "predicted_class": answer["kind"],
        "probabilities": answer["chances"],
        "top_features": [],
    }


DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _timing(told: Mapping[str, Any]) -> dict[str, Any]:
    answer = told["answer"]
    best, *others = answer["best"]
    return {
        **_head("CONTACT_TIMING", told),
        "predicted_value": f"{DAYS[best['day']]} {best['hour']:02}:00",
        "predicted_class": DAYS[best["day"]],
        "optimal_day": DAYS[best["day"]],
        "optimal_hour": best["hour"],
        "alternatives": [{"day": one["day"], "hour": one["hour"], "chance": one["chance"]} for one in others],
        "top_features": [],
    }


def _value(told: Mapping[str, Any]) -> dict[str, Any]:
    answer = told["answer"]
    growth = answer["value"] / answer["value_today"] - 1 if answer["value_today"] else 0.0
    return {
        **_head("PROPERTY_VALUE", told),
        "predicted_value": answer["value"],
        "predicted_class": "STEADY" if abs(growth) < STEADY else "RISING" if growth > 0 else "FALLING",
        "current_value": answer["value_today"],
        "horizon_months": answer["months"],
        "interval": {"lower": answer["low"], "upper": answer["high"]},
        "top_features": [
            {"feature_name": one["words"], "contribution": one["factor"] - 1, "value": None}
            for one in answer["reasons"][:TOP]
        ],
    }


def _route(
    path: str,
    summary: str,
    answer: type[BaseModel],
    adapt_in: Callable[[Any], Mapping[str, Any]],
    adapt_out: Callable[[Any], Mapping[str, Any]],
    body: type[BaseModel] = PredictionBody,
) -> Route:
    url = f"/v1/predict/{path}"
    return Route(
        verb="predict", url=url, also=[ALSO + url], summary=summary, request=body, answer=answer,
        adapt_in=adapt_in, adapt_out=adapt_out, statuses=STATUSES,
    )  # fmt: skip


def _health(kind: ModelType) -> Route:
    name = f"{kind.lower()}_model"

    def told(of: Mapping[str, Any]) -> Mapping[str, Any]:
        found = {each: when and f"{when:%Y-%m-%dT%H:%M:%SZ}" for each, when in of.items() if each in TIMES}
        status: Deployment = "DEPLOYED" if of["version"] else "NOT_TRAINED"
        return {**of, **found, "model_name": name, "model_version": of["version"], "status": status}

    url = f"/v1/models/{name}/health"
    return Route(
        verb="health", url=url, also=[ALSO + url], summary=f"How {name} does", request=Nothing, answer=HealthTold,
        adapt_in=lambda _: {}, adapt_out=told, statuses=STATUSES, methods=("GET",),
    )  # fmt: skip


TIMES = ("deployed_at", "last_prediction_at")
CHANCE = _route("move-probability", "How likely a person moves", ChanceTold, _in, _chance)
NEXT = _route("transaction-type", "Which deal a person makes next", KindTold, _in, _kind)
TIMING = _route("contact-timing", "When a person is best reached", TimingTold, _of_user, _timing)
WORTH = _route("property-value", "What a property is worth now and later", ValueTold, _of_property, _value, ValueBody)
MOVE: Sequence[Route] = (CHANCE, _health("MOVE_PROBABILITY"))
KIND: Sequence[Route] = (NEXT, _health("TRANSACTION_TYPE"))
CONTACT: Sequence[Route] = (TIMING, _health("CONTACT_TIMING"))
VALUE: Sequence[Route] = (WORTH, _health("PROPERTY_VALUE"))
BATCH = Mixed(
    url="/v1/predict/batch",
    also=[ALSO + "/v1/predict/batch"],
    summary="Up to a thousand predictions of any kind",
    kind="prediction_type",
    of={
        "MOVE_PROBABILITY": ("realestate.move", CHANCE),
        "TRANSACTION_TYPE": ("realestate.transaction_type", NEXT),
        "CONTACT_TIMING": ("realestate.contact", TIMING),
        "PROPERTY_VALUE": ("realestate.value", WORTH),
    },
    most=MOST,
)
