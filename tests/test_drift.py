"""When a feature has drifted: far, by more than luck, and of more than a handful."""

from __future__ import annotations

import numpy as np
import pytest

from foretell.engine.drift import FAR, Moments, drift, drifted


def moments(count: int, mean: float | None, deviation: float | None = 10.0) -> Moments:
    return Moments(count=count, mean=mean, deviation=deviation)


@pytest.mark.parametrize(
    ("then", "now", "moved", "far"),
    [
        (moments(10_000, 100), moments(10_000, 102.4), 0.24, False),
        (moments(10_000, 100), moments(10_000, 102.6), 0.26, True),
        (moments(10_000, 100), moments(10_000, 97.4), -0.26, True),
        (moments(100, 100), moments(100, 104), 0.4, False),  # 0.57 of a hundred may be luck
        (moments(100, 100), moments(100, 106), 0.6, True),
        (moments(10_000, 100), moments(100, 106, 30), 0.6, False),  # and more where they are more various
        (moments(10, 100), moments(10_000, 200), 10.0, False),
        (moments(10_000, 100), moments(10, 200), 10.0, False),
        (moments(10_000, 100), moments(10_000, 0, 0.0), -10.0, True),  # a feed has died
        (moments(10_000, 100, 0.0), moments(10_000, 200), None, False),
        (moments(0, None, None), moments(10_000, 200), None, False),
        (moments(10_000, 100), moments(0, None, None), None, False),
    ],
)
def test_a_mean_has_drifted_when_it_moved_far_and_not_by_luck(
    then: Moments, now: Moments, moved: float | None, far: bool
) -> None:
    assert drift(then, now) == (None if moved is None else pytest.approx(moved))
    assert drifted(then, now) is far


@pytest.mark.parametrize("count", [30, 100, 1000])
def test_samples_of_the_same_people_hardly_ever_drift(count: int) -> None:
    values = np.random.default_rng(1).lognormal(size=(2000, 2, count))
    seen = [[Moments(count=count, mean=float(v.mean()), deviation=float(v.std())) for v in pair] for pair in values]
    assert sum(drifted(*pair) for pair in seen) <= 10


def test_people_of_another_kind_have_drifted() -> None:
    values = np.random.default_rng(1).normal(size=(200, 2, 1000)) + np.array([0.0, 2 * FAR])[:, None]
    seen = [[Moments(count=1000, mean=float(v.mean()), deviation=float(v.std())) for v in pair] for pair in values]
    assert all(drifted(*pair) for pair in seen)
