"""The paths that the energy document prints, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field

from foretell.contract import Route
from foretell.domains.energy.schema import LONGEST, OutputAnswer
from foretell.domains.energy.tables import Kind, Latitude, Longitude
from foretell.errors import Forbidden, InvalidRequest, NotFound, NotReady

STATUSES = {InvalidRequest: 422, NotFound: 404, NotReady: 422, Forbidden: 403}


class OutputQuery(BaseModel):
    """A place and how many hours."""

    location_lat: Latitude
    location_lng: Longitude
    hours: Annotated[int, Field(ge=1, le=LONGEST)] = 24


class Predicted(BaseModel):
    """The mean power of the hour that starts at `timestamp`, kW."""

    timestamp: str
    value: float


class Interval(BaseModel):
    """The bounds of the 80 % band, kW."""

    timestamp: str
    lower: float
    upper: float


class Metadata(BaseModel):
    """What the answer rests on. Without `historical_context` it is physics, for a kW of capacity."""

    historical_context: bool
    plant: str | None
    distance_km: float | None
    unit: str
    capacity_kw: float
    weather_providers: list[str]
    weather_issued_at: str | None
    weather_age_hours: float | None
    weather_hours_covered: int
    data_quality_score: float | None
    reasons: list[str]
    method: str


class OutputResponse(BaseModel):
    """The next hours of a place."""

    predictions: list[Predicted]
    confidence_intervals: list[Interval]
    metadata: Metadata


def _asked(body: OutputQuery) -> Mapping[str, Any]:
    return {"latitude": body.location_lat, "longitude": body.location_lng, "hours": body.hours}


def _told(told: Mapping[str, Any]) -> Mapping[str, Any]:
    answer = OutputAnswer.model_validate(told["answer"])
    stamps = [f"{hour.start:%Y-%m-%dT%H:%M:%SZ}" for hour in answer.hours]
    there = answer.nearest if answer.nearest in answer.plants else None
    issued = answer.weather.issued_at
    return {
        "predictions": [
            {"timestamp": at, "value": hour.expected_kw} for at, hour in zip(stamps, answer.hours, strict=True)
        ],
        "confidence_intervals": [
            {"timestamp": at, "lower": hour.low_kw, "upper": hour.high_kw}
            for at, hour in zip(stamps, answer.hours, strict=True)
        ],
        "metadata": {
            "historical_context": answer.historical_context,
            "plant": there,
            "distance_km": answer.distance_km if there else None,
            "unit": "kW" if there else "kW per installed kW",
            "capacity_kw": answer.capacity_kw,
            "weather_providers": answer.weather.providers,
            "weather_issued_at": issued and f"{issued:%Y-%m-%dT%H:%M:%SZ}",
            "weather_age_hours": answer.weather.age_hours,
            "weather_hours_covered": answer.weather.hours_covered,
            "data_quality_score": answer.quality and answer.quality.score,
            "reasons": [reason.words for reason in answer.reasons],
            "method": answer.method,
        },
    }


def route(kind: Kind) -> Route:
    """The path of a kind of plant."""
    return Route(
        verb="predict",
        url=f"/api/v1/predict/{kind}",
        summary=f"The {kind} output of a place in the next hours",
        request=OutputQuery,
        answer=OutputResponse,
        adapt_in=_asked,
        adapt_out=_told,
        statuses=STATUSES,
        methods=("GET",),
    )
