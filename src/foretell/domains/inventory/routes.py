"""The paths that the inventory document prints, as data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from foretell.contract import Route
from foretell.domains.inventory.schema import ROWS, Day, DemandAnswer, StockoutAnswer
from foretell.domains.inventory.tables import Product, Units
from foretell.errors import Forbidden, InvalidRequest, NotFound, NotReady

STATUSES = {InvalidRequest: 400, NotReady: 400, NotFound: 404, Forbidden: 403}
FAILED = "Model training failed"


class ForecastRequest(BaseModel):
    """Whose demand, and on what history; without one, the stored movements count."""

    product_id: Product
    horizon_days: int = 30
    cache_bypass: bool = False
    transaction_data: Annotated[list[Day], Field(max_length=ROWS)] | None = None


class Prediction(BaseModel):
    """A day's demand and its bounds."""

    ds: date
    yhat: float
    yhat_lower: float
    yhat_upper: float


class ModelMetrics(BaseModel):
    """Errors out of sample; `mape` in per cent."""

    mape: float | None
    rmse: float | None
    training_samples: int
    seasonality_detected: bool


class ForecastResponse(BaseModel):
    """The next days."""

    productId: str  # noqa: N815 - the document's name
    predictions: list[Prediction]
    model_metrics: ModelMetrics
    generated_at: str
    horizon_days: int


class StockRequest(ForecastRequest):
    """The same, with what is on the shelf."""

    current_stock_units: Units
    horizon_days: int = 90


class StockResponse(BaseModel):
    """When the shelf is empty."""

    productId: str  # noqa: N815 - the document's name
    predicted_stockout_date: date | None
    days_until_stockout: int | None
    confidence: float
    daily_usage_forecast: list[float]
    generated_at: str


def _asked(body: ForecastRequest) -> Mapping[str, Any]:
    asked = {"product": body.product_id, "horizon_days": body.horizon_days, "history": body.transaction_data}
    return asked | ({"current_stock_units": body.current_stock_units} if isinstance(body, StockRequest) else {})


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _forecast(told: Mapping[str, Any]) -> Mapping[str, Any]:
    answer = DemandAnswer.model_validate(told["answer"])
    return {
        "productId": answer.product,
        "predictions": [
            {"ds": day.date, "yhat": day.expected, "yhat_lower": day.low, "yhat_upper": day.high}
            for day in answer.predictions
        ],
        "model_metrics": answer.metrics.model_dump(exclude={"measured_on"}),
        "generated_at": _stamp(answer.generated_at),
        "horizon_days": answer.horizon_days,
    }


def _stockout(told: Mapping[str, Any]) -> Mapping[str, Any]:
    answer = StockoutAnswer.model_validate(told["answer"])
    return {
        "productId": answer.product,
        "predicted_stockout_date": answer.predicted_stockout_date,
        "days_until_stockout": answer.days_until_stockout,
        "confidence": answer.confidence,
        "daily_usage_forecast": answer.daily_usage_forecast,
        "generated_at": _stamp(answer.generated_at),
    }


FORECAST = Route(
    verb="predict",
    url="/forecast/demand",
    summary="The demand for a product on each of the next days",
    request=ForecastRequest,
    answer=ForecastResponse,
    adapt_in=_asked,
    adapt_out=_forecast,
    statuses=STATUSES,
    failed=FAILED,
)
STOCKOUT = Route(
    verb="predict",
    url="/predict/stockout",
    summary="The day on which a product's stock is used up",
    request=StockRequest,
    answer=StockResponse,
    adapt_in=_asked,
    adapt_out=_stockout,
    statuses=STATUSES,
    failed=FAILED,
)
