"""Points of a scale that each group has for itself, from text: what is usual there, leaned towards what is written.

What is written is scored by a ridge regression on words and pieces of words, partly the same for all groups and partly
each group's own. Its goal is where a value is on the scale of its group (a normal score), so groups with other scales
can learn from each other. How far to lean is learned of scores out of sample, later ones than what they learned from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from foretell.contract import Floats
from foretell.models import text
from foretell.models.scale import Answers, Leaning, places
from foretell.models.text import Places, Sparse, Weighed

PENALTY = 7.0  # this and the shares chosen on the middle fifth of public projects
FRESH = 0.5  # share of a group's cases after which one counts half as much in what a text says
USUAL = 1.0  # the same in what is usual
ONCE = 0.5  # cases that each value ever given counts as, beside those that had it
SHRUNK = 100.0  # cases of a group at which a text says half as much
JUDGED = (0.6, 0.8, 1.0)  # shares of each group's cases between which what a text says is judged


class _Scale(NamedTuple):
    """The values given in a group, how usual each of them is, and where it is."""

    values: Floats
    usual: Floats
    place: Floats


def fresh(there: Floats, share: float = USUAL) -> Floats:
    """Weights of cases (rows x cases in their order, 0 or 1): half as much after each `share` of those there."""
    count = there.sum(axis=1, keepdims=True)
    return np.asarray(there * 0.5 ** ((count - np.cumsum(there, axis=1)) / (share * count)))


def _usual(given: Floats) -> Floats:
    given = given + ONCE * (given > 0)
    return np.asarray(given / given.sum(axis=1, keepdims=True))


def _scale(value: Floats) -> _Scale:
    """Of a group's values, oldest first."""
    values = np.unique(value)
    usual = _usual(fresh(np.ones((1, len(value)))) @ (value[:, None] == values))[0]
    return _Scale(values, usual, places(usual))


@dataclass(frozen=True, eq=False)
class Graded:
    """What was learned: what columns of texts weigh, the line through them, and how far to lean."""

    weighed: Weighed
    line: NDArray[np.float32]
    leaning: Leaning

    @classmethod
    def of(cls, bags: Sequence[Sparse], lengths: Sequence[float], groups: Sequence[str], value: Floats) -> Self:
        """Learned from the parts of texts, their groups and values, oldest first."""
        codes, group = _codes(groups), np.array(groups)
        members = [np.flatnonzero(group == name) for name in dict.fromkeys(groups)]
        answers: list[Answers] = []
        for until, end in pairwise(JUDGED):
            learned = [_head(rows, until) for rows in members]
            found = _learn(bags, lengths, codes, learned, value)
            for rows, known, scale in zip(members, learned, found.scales, strict=True):
                asked = _head(rows, end)[len(known) :]
                asked = asked[np.isin(value[asked], scale.values)]
                if len(asked):
                    score = _shrunk(found.inputs[asked] @ found.line, len(known))
                    step = np.searchsorted(scale.values, value[asked])
                    answers.append(Answers(scale.usual, scale.place, score, step))
        found = _learn(bags, lengths, codes, members, value)
        return cls(found.weighed, found.line, Leaning.of(answers))

    def score(self, bags: Sequence[Sparse], lengths: Sequence[float], groups: Sequence[str]) -> Floats:
        """What is written, as a number: 0 is what is usual in the group."""
        return text.along(text.crossed(self.weighed.told(bags, lengths), _codes(groups)), self.line)

    def chance(self, score: Floats, given: Floats, count: Floats) -> Floats:
        """The chance of each value (scores x values), from how often it was given before (`fresh`) in `count` cases."""
        usual = _usual(given)
        return self.leaning.said(usual, places(usual), _shrunk(score, count))

    def save(self, folder: Path) -> None:
        """Write weights and line as npz, the leaning as JSON."""
        np.savez(folder / "graded.npz", weight=self.weighed.weight, line=self.line)
        (folder / "leaning.json").write_text(json.dumps(asdict(self.leaning)))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read them."""
        with np.load(folder / "graded.npz") as kept:
            weighed, line = Weighed(kept["weight"]), kept["line"]
        return cls(weighed, line, Leaning(**json.loads((folder / "leaning.json").read_text())))


class _Learned(NamedTuple):
    weighed: Weighed
    inputs: Sparse  # of all texts
    line: NDArray[np.float32]
    scales: list[_Scale]


def _learn(
    bags: Sequence[Sparse], lengths: Sequence[float], codes: Places, members: list[Places], value: Floats
) -> _Learned:
    """The line through the members of each group."""
    scales, rows = [_scale(value[mine]) for mine in members], np.concatenate(members)
    weighed = Weighed.of([one[rows] for one in bags])
    inputs = text.crossed(weighed.told(bags, lengths), codes)
    goal = [one.place[np.searchsorted(one.values, value[mine])] for one, mine in zip(scales, members, strict=True)]
    weight = [fresh(np.ones((1, len(mine))), FRESH)[0] for mine in members]
    line = text.ridge(inputs[rows], np.concatenate(goal), np.concatenate(weight), PENALTY)
    return _Learned(weighed, inputs, line, scales)


def _head(rows: Places, share: float) -> Places:
    return rows[: int(np.ceil(share * len(rows)))]


def _shrunk(score: Floats, count: Floats | int) -> Floats:
    return np.asarray(score * count / (count + SHRUNK))


def _codes(groups: Sequence[str]) -> Places:
    """A number for each group."""
    return np.array([crc32(name.encode()) for name in groups], dtype=np.int64)
