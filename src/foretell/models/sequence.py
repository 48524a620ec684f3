"""Sequence networks: an LSTM, or a GRU with attention, that reads a window of hours and says quantiles of what follows.

Keras learns, on JAX, where the extra `neural` is installed. What was learned answers on numpy alone: a server needs
neither library, starts without them, and says the same whether a question comes alone or among others.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, Literal, Self

import numpy as np

from foretell.contract import Floats
from foretell.errors import Misconfigured

LACKING = None if find_spec("keras") and find_spec("jax") else "it needs Keras: pip install 'foretell[neural]'"
LATER = 0.1  # of what there is to learn from, the newest, on which learning is stopped
BATCH = 128
ONCE = 512  # windows answered at a time
STEP = 2e-3  # of Adam, at first; it falls to nothing over the epochs
ALONE = Lock()  # a network learns on all cores; two at once would only wait for each other

Told = Callable[[int, int], None]


class Network:
    """Recurrent layers over a window, and quantiles (pinball loss) of one number from what they make of it.

    An `lstm` speaks from its last step, a `gru` from all of them, weighed by attention (Bahdanau et al. 2015).
    """

    def __init__(
        self,
        kind: Literal["lstm", "gru"],
        *,
        levels: Sequence[float],
        layers: int,
        units: int = 128,
        epochs: int = 12,
        patience: int = 3,
    ) -> None:
        """`epochs` at most; it stops after `patience` of them without a lower loss on the newest windows."""
        self.kind, self.levels, self.layers, self.units = kind, tuple(levels), layers, units
        self.epochs, self.patience = epochs, patience
        self.weights: list[Floats] = []  # in Keras' order, layer by layer

    # ------------------------------------------------------------ learning

    def fit(self, windows: Floats, value: Floats, told: Told | None = None) -> Self:
        """Learn from windows (n x steps x channels, NaN where unknown) and values, oldest first; return self.

        `told` hears of each epoch, and how many there are at most. Raises Misconfigured, with the line to type, where
        Keras is not installed.
        """
        if LACKING:
            raise Misconfigured(f"a network can't learn here; {LACKING}")
        early = int(len(value) * (1 - LATER))
        flat = windows[:early].reshape(-1, windows.shape[2])
        there = ~np.isnan(flat)
        count = np.maximum(there.sum(axis=0), 1)
        mean = np.where(there, flat, 0.0).sum(axis=0) / count
        spread = np.sqrt(np.where(there, (flat - mean) ** 2, 0.0).sum(axis=0) / count)
        self.center, self.spread = mean, np.where(spread > 1e-9, spread, 1.0)
        self.size = float(value[:early].std()) or 1.0
        with ALONE:
            self._learn(self._scaled(windows), value / self.size, early, told)
        return self

    def _scaled(self, windows: Floats) -> Floats:
        """Channels about 0 and of spread 1; what is unknown is usual."""
        scaled: Floats = np.nan_to_num((windows - self.center) / self.spread).clip(-8, 8)
        return scaled

    def _learn(self, windows: Floats, value: Floats, early: int, told: Told | None) -> None:
        """Epoch by epoch, until the newest windows are said no better; the best of them stay."""
        net = self._net(windows.shape[1:], steps=-(-early // BATCH) * self.epochs)
        old, new = windows[:early].astype("float32"), windows[early:]
        random, least, waited = np.random.default_rng(1), np.inf, 0
        for epoch in range(1, self.epochs + 1):
            order = random.permutation(early)
            net.fit(old[order], value[order, None], batch_size=BATCH, epochs=1, shuffle=False, verbose=0)
            now = [np.asarray(each.value) for each in net.weights]
            loss = self._loss(self._answer(now, new), value[early:])
            waited = 0 if loss < least else waited + 1
            if loss < least:
                least, self.weights = loss, now
            if told:
                told(epoch, self.epochs)
            if waited == self.patience:
                break

    def _loss(self, said: Floats, value: Floats) -> float:
        """The mean pinball loss."""
        wrong, levels = value[:, None] - said, np.array(self.levels)
        return float(np.maximum(levels * wrong, (levels - 1) * wrong).mean())

    def _net(self, shape: tuple[int, ...], steps: int) -> Any:
        """The network as Keras has it, each weight drawn from a seed of its own."""
        os.environ.setdefault("KERAS_BACKEND", "jax")
        import keras

        inputs = said = keras.Input(shape)
        for k in range(self.layers):
            layer = keras.layers.LSTM if self.kind == "lstm" else keras.layers.GRU
            said = layer(
                self.units,
                return_sequences=self.kind == "gru" or k < self.layers - 1,
                kernel_initializer=keras.initializers.GlorotUniform(seed=k),
                recurrent_initializer=keras.initializers.Orthogonal(seed=k),
            )(said)

        def dense(size: int, seed: int, activation: str | None = None) -> Any:
            drawn = keras.initializers.GlorotUniform(seed=seed)
            return keras.layers.Dense(size, activation=activation, kernel_initializer=drawn)

        if self.kind == "gru":
            score = dense(1, 11)(dense(self.units, 10, "tanh")(said))
            said = keras.layers.Dot(axes=1)([keras.layers.Softmax(axis=1)(score), said])
            said = keras.layers.Flatten()(said)
        net = keras.Model(inputs, dense(len(self.levels), 12)(said))
        levels = np.array([self.levels], dtype="float32")

        def pinball(value: Any, told: Any) -> Any:
            wrong = value - told
            return keras.ops.mean(keras.ops.maximum(levels * wrong, (levels - 1) * wrong))

        falling = keras.optimizers.schedules.CosineDecay(STEP, steps)
        net.compile(optimizer=keras.optimizers.Adam(falling, clipnorm=1.0), loss=pinball)
        return net

    # ------------------------------------------------------------ answering

    def quantiles(self, windows: Floats) -> Floats:
        """What is said of windows, n x levels, rising (crossing ones are rearranged, Chernozhukov et al. 2010)."""
        return np.sort(self._answer(self.weights, self._scaled(windows)) * self.size, axis=1)

    def _answer(self, weights: Sequence[Floats], windows: Floats) -> Floats:
        """What the network says of scaled windows with these weights, as Keras would, in double precision."""
        whole = [np.asarray(each, dtype=np.float64) for each in weights]
        parts = [windows[k : k + ONCE] for k in range(0, len(windows), ONCE)]
        return np.concatenate([self._pass(whole, part) for part in parts] or [np.empty((0, len(self.levels)))])

    def _pass(self, weights: Sequence[Floats], said: Floats) -> Floats:
        layer = _lstm if self.kind == "lstm" else _gru
        for k in range(0, 3 * self.layers, 3):
            said = layer(said, *weights[k : k + 3])
        rest = weights[3 * self.layers :]
        if self.kind == "lstm":
            last = said[:, -1]
        else:
            score = np.tanh(said @ rest[0] + rest[1]) @ rest[2] + rest[3]
            share = np.exp(score - score.max(axis=1, keepdims=True))
            last = (share * said).sum(axis=1) / share.sum(axis=1)
        found: Floats = last @ rest[-2] + rest[-1]
        return found

    # ------------------------------------------------------------ keeping

    def save(self, folder: Path) -> None:
        """Write the weights as npz without objects, the rest as JSON."""
        with (folder / "network.npz").open("wb") as file:
            np.savez(file, *self.weights)
        told = {"center": self.center.tolist(), "spread": self.spread.tolist(), "size": self.size}
        shape = {"kind": self.kind, "layers": self.layers, "units": self.units}
        (folder / "network.json").write_text(json.dumps(shape | told))

    def load(self, folder: Path) -> Self:
        """Read what `save` wrote; return self."""
        told = json.loads((folder / "network.json").read_text())
        self.kind, self.layers, self.units = told["kind"], told["layers"], told["units"]
        self.center, self.spread, self.size = np.array(told["center"]), np.array(told["spread"]), told["size"]
        with np.load(folder / "network.npz", allow_pickle=False) as held:
            self.weights = [held[f"arr_{k}"] for k in range(len(held.files))]
        return self


def _sigmoid(of: Floats) -> Floats:
    return 0.5 * (1 + np.tanh(0.5 * of))


def _lstm(inputs: Floats, kernel: Floats, recurrent: Floats, bias: Floats) -> Floats:
    """Every step of a layer (Hochreiter & Schmidhuber 1997), in Keras' order of gates: in, forget, cell, out."""
    fed = inputs @ kernel + bias
    said = np.empty((*inputs.shape[:2], len(recurrent)))
    state = cell = np.zeros((len(inputs), len(recurrent)))
    for step in range(inputs.shape[1]):
        enter, keep, fresh, leave = np.split(fed[:, step] + state @ recurrent, 4, axis=1)
        cell = _sigmoid(keep) * cell + _sigmoid(enter) * np.tanh(fresh)
        said[:, step] = state = _sigmoid(leave) * np.tanh(cell)
    return said


def _gru(inputs: Floats, kernel: Floats, recurrent: Floats, bias: Floats) -> Floats:
    """Every step of a layer (Cho et al. 2014), reset after the product, in Keras' order: update, reset, fresh."""
    fed = inputs @ kernel + bias[0]
    said = np.empty((*inputs.shape[:2], len(recurrent)))
    state = np.zeros((len(inputs), len(recurrent)))
    for step in range(inputs.shape[1]):
        mine, back = np.split(fed[:, step], 3, axis=1), np.split(state @ recurrent + bias[1], 3, axis=1)
        keep, reset = _sigmoid(mine[0] + back[0]), _sigmoid(mine[1] + back[1])
        said[:, step] = state = keep * state + (1 - keep) * np.tanh(mine[2] + reset * back[2])
    return said
