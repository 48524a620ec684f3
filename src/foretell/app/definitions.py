"""What features are, in words: as the domain declares them, where it does."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel

from foretell.contract import Catalogue, DataType, FeatureType


class Definition(BaseModel):
    """What a feature is; null what is not declared. `computation` says how it is worked out, `may_stand_for` a guard.

    `low` and `high` are the range it lies in, `missing` what null means.
    """

    feature_name: str
    category: str | None = None
    part: str | None = None
    feature_type: FeatureType | None = None
    data_type: DataType | None = None
    entity_type: str | None = None
    description: str | None = None
    computation: str | None = None
    missing: str | None = None
    low: float | None = None
    high: float | None = None
    may_stand_for: str | None = None
    version: int | None = None
    owner: str | None = None
    is_deprecated: bool = False

    @classmethod
    def of(cls, name: str, catalogue: Catalogue | None) -> Self:
        """A feature as a catalogue declares it; its name alone where that doesn't."""
        one = next((one for one in catalogue.features if one.name == name), None) if catalogue else None
        if catalogue is None or one is None:
            return cls(feature_name=name)
        return cls(
            feature_name=name, category=one.group, part=one.part, feature_type=one.how, data_type=one.kind,
            entity_type=catalogue.entity_type, description=one.words, computation=one.computation,
            missing=one.missing, low=one.low, high=one.high, may_stand_for=one.guard, version=one.version,
            owner=one.owner, is_deprecated=one.deprecated,
        )  # fmt: skip


class ModelFeatures(BaseModel):
    """The features that a version of a model was given to learn from, in its order."""

    task: str
    version: str
    candidate: str
    features: list[Definition]
