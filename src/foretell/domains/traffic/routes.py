"""The paths that the traffic document prints, as data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from foretell.contract import Count, Route
from foretell.domains.traffic.schema import LoadAnswer, Name, ScalingRecommendation, Trigger
from foretell.errors import Forbidden, InvalidRequest, NotFound, NotReady

LEAST = 60  # days of metrics that the document asks for
STATUSES = {NotFound: 404, NotReady: 400, Forbidden: 403, InvalidRequest: 422}


class PredictionRequest(BaseModel):
    """What runs now."""

    service_name: Name
    current_replicas: Annotated[int, Field(ge=1, le=50)]
    capacity_per_pod: Annotated[float, Field(gt=0, le=1e15)]
    cost_per_replica_hour: Annotated[float, Field(gt=0, le=1e6)] = 0.05


class Predictions(BaseModel):
    """The next four hours."""

    values: list[float]
    confidence: float
    trigger: Trigger | None
    model_used: str


class PredictionResponse(BaseModel):
    """The next four hours, and the replicas for them."""

    tenant_id: str
    timestamp: str
    current_traffic: float
    predictions: Predictions
    scaling_recommendation: ScalingRecommendation


class TrainingRequest(BaseModel):
    """How much history to learn from."""

    days_history: Annotated[int, Field(ge=30, le=365)] = LEAST


class DataStats(BaseModel):
    """What was there to learn from."""

    total_points: int
    date_range_start: str
    date_range_end: str
    days_of_data: int
    features_count: int


class ForecasterSummary(BaseModel):
    """What was made of it."""

    trained: Literal[True]
    forecast_horizon_hours: Literal[4]
    trigger_rules: Literal[3]


class TrainingResponse(BaseModel):
    """A training, summed up."""

    tenant_id: str
    training_timestamp: str
    data_stats: DataStats
    model_summaries: dict[Literal["forecaster"], ForecasterSummary]
    saved_models: dict[Literal["forecaster"], str]


def _asked(body: PredictionRequest) -> Mapping[str, Any]:
    workload = {
        "service_name": body.service_name,
        "current_replicas": body.current_replicas,
        "capacity_per_pod": body.capacity_per_pod,
        "cost_per_replica_hour": body.cost_per_replica_hour,
    }
    # The document's metrics name no service.
    return {
        "service": body.service_name,
        "otherwise": "default",
        "hours": 4,
        "workload": workload,
        "scale_in": "forecast",
    }


def _predicted(told: Mapping[str, Any]) -> Mapping[str, Any]:
    answer = LoadAnswer.model_validate(told["answer"])
    return {
        "tenant_id": told["tenant"],
        "timestamp": f"{answer.measured_at:%Y-%m-%dT%H:%M:%SZ}",
        "current_traffic": answer.current,
        "predictions": {
            "values": [hour.expected for hour in answer.hours],
            "confidence": answer.confidence,
            "trigger": answer.trigger,
            "model_used": answer.method,
        },
        "scaling_recommendation": answer.scaling and answer.scaling.model_dump(),
    }


def _options(body: TrainingRequest) -> Mapping[str, Any]:
    return {"days": body.days_history, "least": LEAST}


def _trained(told: Mapping[str, Any]) -> Mapping[str, Any]:
    card = told["card"]
    facts = card["facts"]["metrics"]
    first, last = (datetime.fromisoformat(facts[end]) for end in ("first", "last"))
    return {
        "tenant_id": told["tenant"],
        "training_timestamp": f"{datetime.fromisoformat(told['made_at']):%Y%m%d_%H%M%S}",
        "data_stats": {
            "total_points": facts["rows"],
            "date_range_start": f"{first:%Y-%m-%d %H:%M:%S}",
            "date_range_end": f"{last:%Y-%m-%d %H:%M:%S}",
            "days_of_data": (last - first).days,
            "features_count": 19,
        },
        "model_summaries": {"forecaster": {"trained": True, "forecast_horizon_hours": 4, "trigger_rules": 3}},
        "saved_models": {"forecaster": told["saved"]},
    }


PREDICT = Route(
    verb="predict",
    url="/api/ml/predict",
    summary="The next four hours of a service, and the replicas for them",
    request=PredictionRequest,
    answer=PredictionResponse,
    adapt_in=_asked,
    adapt_out=_predicted,
    statuses=STATUSES,
    trained=True,
)
TRAIN = Route(
    verb="train",
    url="/api/ml/train",
    summary="Train on the last days; answers when it is done",
    request=TrainingRequest,
    answer=TrainingResponse,
    adapt_in=_options,
    adapt_out=_trained,
    statuses=STATUSES,
)

RECOMMENDED = Count(
    name="ml_scaling_recommendations",
    words="Recommendations to scale, by what set them off",
    label="trigger",
    of=lambda answer: answer.scaling.triggered_by if answer.scaling else None,
)
