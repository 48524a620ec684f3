"""Networks over windows of hours: what is learned is there to learn, and needs no Keras to answer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from tests.energy.test_models import studied, world

from foretell.contract import Floats, Forecaster, Rolling, Study
from foretell.domains.energy import SOLAR, WIND
from foretell.domains.energy.networks import Sequences, windows
from foretell.domains.energy.tables import Kind
from foretell.engine.train import train
from foretell.errors import Misconfigured
from foretell.metrics import pinball
from foretell.models.sequence import LACKING, Network
from foretell.testing import check_model
from foretell.testing.files import pickles

NEURAL = pytest.mark.skipif(LACKING is not None, reason=str(LACKING))
LEVELS = (0.1, 0.5, 0.9)
KINDS: tuple[Literal["lstm", "gru"], ...] = ("lstm", "gru")


def tiny(kind: Literal["lstm", "gru"], epochs: int = 2) -> Network:
    return Network(kind, levels=LEVELS, layers=2, units=12, epochs=epochs)


@cache
def puzzle() -> tuple[Floats, Floats]:
    """Windows whose steps tell the value, but for some luck; a channel is luck alone, one is never known."""
    random = np.random.default_rng(1)
    made = random.normal(3, 5, (2000, 4, 3))
    made[:, :, 0] = made[:, :1, 0]
    made[:, :, 2] = np.nan
    return made, 0.1 * made[:, 2, 0] + random.normal(0, 0.05, 2000)


@NEURAL
@pytest.mark.parametrize("kind", KINDS)
def test_numpy_says_what_keras_says(kind: Literal["lstm", "gru"]) -> None:
    random, net = np.random.default_rng(1), tiny(kind)
    asked = random.normal(size=(20, 5, 3))
    keras = net._net(asked.shape[1:], 1)
    keras.set_weights([random.normal(0, 0.5, each.shape) for each in keras.weights])
    theirs = np.asarray(keras(asked.astype("float32")))
    ours = net._answer([np.asarray(each.value) for each in keras.weights], asked)
    assert np.allclose(ours, theirs, atol=1e-5)
    assert np.ptp(theirs, axis=0).min() > 1e-2


@NEURAL
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_window_tells_is_learned_the_same_way_twice(kind: Literal["lstm", "gru"], tmp_path: Path) -> None:
    asked, value = puzzle()
    heard: list[tuple[int, int]] = []
    net = tiny(kind, epochs=20).fit(asked[:1500], value[:1500], lambda *epoch: heard.append(epoch))
    assert heard == [(k, 20) for k in range(1, len(heard) + 1)]
    said = net.quantiles(asked[1500:])
    assert (np.diff(said, axis=1) >= 0).all()
    blind = np.broadcast_to(np.quantile(value[:1500], LEVELS), said.shape)
    assert pinball(value[1500:], said, LEVELS) < 0.5 * pinball(value[1500:], blind, LEVELS)
    again = tiny(kind, epochs=20).fit(asked[:1500], value[:1500])
    assert np.array_equal(again.quantiles(asked[1500:]), said)
    net.save(tmp_path)
    assert pickles(tmp_path) == []
    assert np.array_equal(Network(kind, levels=LEVELS, layers=1).load(tmp_path).quantiles(asked[1500:]), said)


@NEURAL
def test_learning_ends_when_the_newest_windows_are_said_no_better() -> None:
    asked, value = puzzle()
    heard: list[int] = []
    luck = np.random.default_rng(2).permutation(value[:600])  # nothing to learn
    net = Network("lstm", levels=LEVELS, layers=1, units=6, epochs=200, patience=2)
    net.fit(asked[:600], luck, lambda epoch, _: heard.append(epoch))
    assert len(heard) < 200


@pytest.mark.row("E5")
def test_the_sun_has_three_layers_and_the_wind_two() -> None:
    solar, wind = SOLAR.candidates["lstm"](), WIND.candidates["gru"]()
    assert isinstance(solar, Sequences)
    assert isinstance(wind, Sequences)
    assert (solar.net.kind, solar.net.layers, solar.net.units) == ("lstm", 3, 128)
    assert (wind.net.kind, wind.net.layers) == ("gru", 2)


def small(kind: Kind) -> Sequences:
    return Sequences(kind, layers=1, units=8, epochs=2)


@NEURAL
@pytest.mark.row("E5")
@pytest.mark.parametrize("kind", ["solar", "wind"])
def test_a_plants_network_keeps_the_contract(kind: Kind) -> None:
    learn, outcomes, _, _ = studied(kind)
    some = np.linspace(0, outcomes.height - 1, 700).astype(int)
    study = Study(history=world(), questions=learn.questions[some], features=learn.features.rows(some))
    check_model(partial(small, kind), study, outcomes[some], (SOLAR if kind == "solar" else WIND).target)


@NEURAL
def test_a_network_adds_to_physics_what_a_plant_teaches() -> None:
    learn, outcomes, ask, value = studied("solar")
    net = Sequences("solar", layers=1, units=24, epochs=8).fit(learn, outcomes)
    error = np.abs(net.forecast(ask).rows["point"].to_numpy() - value) / ask.features["capacity"]
    physical = np.abs(ask.features["physical"] - value / ask.features["capacity"])
    assert error.mean() < physical.mean()


def test_a_window_sees_what_was_known_and_no_more() -> None:
    _, _, ask, _ = studied("wind")
    some = np.arange(0, ask.questions.height, 40)
    asked, features = ask.questions[some], ask.features.rows(some)
    for place, (then, found) in enumerate(zip(asked["as_of"], windows("wind", replace(ask, questions=asked,
                                              features=features)), strict=True)):  # fmt: skip
        alone = Study(
            history=world().cut(then), questions=asked[[place]], features=features.rows(slice(place, place + 1))
        )
        assert np.array_equal(windows("wind", alone)[0], found, equal_nan=True)


def test_without_weather_or_outcomes_a_network_is_physics() -> None:
    learn, outcomes, ask, _ = studied("wind")
    few = slice(0, 50)
    part = Study(history=world(), questions=learn.questions[few], features=learn.features.rows(few))
    said = small("wind").fit(part, outcomes[few]).forecast(ask).rows
    assert said.equals(WIND.candidates["physical"]().forecast(ask).rows)


@NEURAL
@pytest.mark.row("E6")
def test_a_race_tells_epochs_and_the_card_keeps_them() -> None:
    candidates: dict[str, Callable[[], Forecaster]] = {
        "smart_persistence": WIND.candidates["smart_persistence"],
        "gru": partial(small, "wind"),
    }
    told: list[str] = []
    once = Rolling(folds=1, span=timedelta(days=21))
    task = replace(WIND, candidates=candidates, scope=None, rolling=once)
    card = train(task, world(), budget=1e6, progress=lambda name, done, of: told.append(name)).model.card
    assert card.candidate == "gru"
    assert card.epochs == 2
    assert told.count("gru, epoch 2 of 2") == len(card.folds) + 1


WITHOUT = """
import pkgutil, sys
sys.modules["keras"] = None  # "not installed", as Python has it
import foretell
for module in pkgutil.walk_packages(foretell.__path__, "foretell."):
    if not module.name.startswith("foretell.stores.migrations") and not module.name.endswith("__main__"):
        __import__(module.name)
import json
import numpy as np
from pathlib import Path
from foretell.domains.energy import WIND, networks
from foretell.domains.energy.sample import sample
from foretell.engine.backtest import backtest
from foretell.models.sequence import Network
net = Network("gru", levels=(0.1, 0.5, 0.9), layers=1, units=3)
net.center, net.spread, net.size = np.zeros(2), np.ones(2), 1.0
net.weights = [np.ones(shape) for shape in ((2, 9), (3, 9), (2, 9), (3, 3), (3,), (3, 1), (1,), (3, 3), (3,))]
said = net.quantiles(np.ones((2, 4, 2)))
tested = backtest(WIND, sample(1).history, budget=1.0)
loaded = sorted(name for name in ("jax", "torch") if sys.modules.get(name))
print(json.dumps({"said": said.tolist(), "skipped": dict(tested.skipped), "loaded": loaded}))
"""


def test_the_core_needs_no_keras_and_a_race_says_what_to_type_for_one() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["loaded"] == []
    assert np.isfinite(found["said"]).all()
    assert "pip install 'foretell[neural]'" in found["skipped"]["gru"]


@pytest.mark.skipif(LACKING is None, reason="Keras is installed")
def test_a_network_can_not_learn_without_keras() -> None:
    with pytest.raises(Misconfigured, match="pip install"):
        tiny("lstm").fit(*puzzle())
