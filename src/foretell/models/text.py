"""Text in, numbers out: counted words and pieces of words, what sets a text apart, and which texts are alike.

Words, pairs of words and pieces of three to five letters are found by a hash (crc32), so no vocabulary is kept and a
text is told in the same numbers when it is learned from and when it is asked about. Counts become TF-IDF with
logarithmic counts (Salton & Buckley 1988), each part of a text scaled to length 1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from math import log2
from pathlib import Path
from typing import Any, Literal, Self
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from foretell.contract import Floats

Sparse = Any  # scipy.sparse.csr_array, which has no types
Places = NDArray[np.int64]
Kind = Literal["words", "pairs", "pieces"]

WORD = re.compile(r"[^\W\d_]+")
WIDTH = 1 << 18  # columns of a bag
LONGEST = 400  # words of a text that count; what follows is mostly logs and traces
PIECES = (3, 4, 5)  # letters of a piece, with a mark at both ends of its word
PAIRED = 0x9E3779B1  # sets a pair of words apart from the same two the other way round
FEW = 4  # texts that are compared one by one
RARE = 2  # texts that a column must be in to count


def sparse(rows: Places, columns: Places, height: int, width: int) -> Sparse:
    """How often each column stands in each row."""
    place, count = np.unique(rows * width + columns, return_counts=True)
    return _placed(count, place // width, place % width, height, width)


def _placed(data: Any, rows: Places, columns: Places, height: int, width: int) -> Sparse:
    """Entries in the order of their rows, and in each of their columns: scipy takes longer to order a few itself."""
    from scipy.sparse import csr_array

    starts = np.searchsorted(rows, np.arange(height + 1))
    return csr_array((data.astype(np.float32), columns, starts), shape=(height, width))


def whole(data: NDArray[np.float32], indices: Places, indptr: Places) -> Sparse:
    """Rows of `WIDTH` columns, from the parts of a kept one."""
    from scipy.sparse import csr_array

    return csr_array((data, indices, indptr), shape=(len(indptr) - 1, WIDTH))


def words(texts: Sequence[str]) -> tuple[list[str], Places, Places]:
    """The different words of some texts in small letters; of each word that stands anywhere its text, and which it is.

    Words are letters alone, of any alphabet.
    """
    seen: dict[str, int] = {}
    said = [[seen.setdefault(word, len(seen)) for word in WORD.findall(text.lower())[:LONGEST]] for text in texts]
    texted = np.repeat(np.arange(len(texts)), [len(one) for one in said])
    return list(seen), texted, np.fromiter(chain.from_iterable(said), dtype=np.int64, count=len(texted))


def bag(texts: Sequence[str], salt: str, kind: Kind = "words") -> Sparse:
    """How often each word, word or pair of neighbouring words, or piece of a word stands in each text (x `WIDTH`).

    The same word under another `salt` is another column.
    """
    places = {text: k for k, text in enumerate(dict.fromkeys(texts))}
    if len(places) < len(texts):  # issues are asked about more than once: each text is read once
        return bag([*places], salt, kind)[[places[text] for text in texts]]
    known, texted, word = words(texts)
    if kind == "pieces":
        cut = [_pieces(one, salt) for one in known]
        many = np.array([len(one) for one in cut], dtype=np.int64)
        codes = np.fromiter(chain.from_iterable(cut), dtype=np.int64, count=int(many.sum()))
        ends = np.cumsum(many[word])  # of the pieces of each word that stands anywhere, one after the other
        first = np.repeat((np.cumsum(many) - many)[word] - (ends - many[word]), many[word])
        return sparse(np.repeat(texted, many[word]), codes[first + np.arange(len(first))] % WIDTH, len(texts), WIDTH)
    code = np.array([crc32(f"{salt}{one}".encode()) for one in known], dtype=np.int64)[word]
    if kind == "words":
        return sparse(texted, code % WIDTH, len(texts), WIDTH)
    beside = texted[:-1] == texted[1:]
    pairs = (code[:-1] * PAIRED + code[1:])[beside] >> 7
    rows, columns = np.concatenate([texted, texted[:-1][beside]]), np.concatenate([code, pairs])
    return sparse(rows, columns % WIDTH, len(texts), WIDTH)


def length(text: str) -> int:
    """A number for how many words a text has, one more where it is half as long again."""
    return round(2 * log2(len(text.split()) + 1))


def marks(named: Sequence[Sequence[str]]) -> Sparse:
    """Which of its names (`type bug`) each row has (rows x `WIDTH`)."""
    row = np.repeat(np.arange(len(named)), [len(one) for one in named])
    codes = np.array([crc32(name.encode()) for one in named for name in one], dtype=np.int64)
    return sparse(row, codes % WIDTH, len(named), WIDTH)


def _pieces(word: str, salt: str) -> list[int]:
    marked = f"<{word}>"
    return [
        crc32(f"{salt}{marked[start : start + size]}".encode())
        for size in PIECES
        for start in range(max(1, len(marked) - size + 1))
    ]


@dataclass(frozen=True, eq=False)
class Weighed:
    """What a column says about a text: log((1 + texts) / (1 + texts with it)) + 1, nothing where it is `RARE`."""

    weight: NDArray[np.float32]

    @classmethod
    def of(cls, bags: Sequence[Sparse]) -> Self:
        """Learned from the parts of the same texts."""
        there = np.zeros(WIDTH)
        for one in bags:
            there += np.bincount(one.indices, minlength=WIDTH)
        weight = np.log((1 + bags[0].shape[0]) / (1 + there).clip(max=1 + bags[0].shape[0])) + 1
        return cls(np.where(there >= RARE, weight, 0.0).astype(np.float32))

    def told(self, bags: Sequence[Sparse], lengths: Sequence[float]) -> Sparse:
        """The parts of each text in the same columns, each scaled to its length where there is anything in it."""
        data = np.concatenate([self._part(one) * length for one, length in zip(bags, lengths, strict=True)])
        row, column = (
            np.concatenate(each) for each in zip(*((rows_of(one), one.indices) for one in bags), strict=True)
        )
        some = data > 0
        return _joined(data[some], row[some], column[some], (bags[0].shape[0], WIDTH))

    def _part(self, one: Sparse) -> Floats:
        """What each entry says, the whole of a text scaled to length 1."""
        row, data = rows_of(one), (1 + np.log(one.data)) * self.weight[one.indices]
        length = np.sqrt(np.bincount(row, data**2, one.shape[0]))
        return np.asarray(data / np.maximum(length, 1e-9)[row], dtype=np.float64)


def rows_of(one: Sparse) -> Places:
    """The row of each of its entries."""
    return np.repeat(np.arange(one.shape[0]), np.diff(one.indptr))


def _joined(data: Floats, rows: Places, columns: Places, shape: tuple[int, int]) -> Sparse:
    """Entries in any order; of those at the same place the sum."""
    place, whose = np.unique(rows * shape[1] + columns, return_inverse=True)
    return _placed(np.bincount(whose, data, len(place)), place // shape[1], place % shape[1], *shape)


def crossed(told: Sparse, codes: Places) -> Sparse:
    """The columns again, other ones for each code of a row, beside what is the same for all (rows x 3 `WIDTH`).

    What is learned is then partly common to all groups and partly a group's own (Daumé 2007).
    """
    row, column = rows_of(told), told.indices.astype(np.int64)
    own = WIDTH + ((column * PAIRED + codes[row] * 40503) >> 5) % (2 * WIDTH)
    data, rows = np.concatenate([told.data, told.data]), np.concatenate([row, row])
    return _joined(data, rows, np.concatenate([column, own]), (told.shape[0], 3 * WIDTH))


def beside(told: Sparse, numbers: Floats) -> Sparse:
    """Texts, and numbers of each in further columns (rows x `WIDTH` + numbers)."""
    from scipy.sparse import csr_array, hstack

    return csr_array(hstack([told, csr_array(numbers.astype(np.float32))]))


def along(inputs: Sparse, line: NDArray[np.float32]) -> Floats:
    """Where each row is on a line: their product."""
    return np.asarray(
        np.bincount(rows_of(inputs), inputs.data * line[inputs.indices], inputs.shape[0]), dtype=np.float64
    )


def ridge(inputs: Sparse, value: Floats, weight: Floats, penalty: float) -> NDArray[np.float32]:
    """The line with the least weighted squared error and `penalty` times its squared slopes, through 0.

    Found by conjugate gradients, for a weight of each text instead of each column: there are fewer.
    """
    from scipy.sparse.linalg import LinearOperator, cg

    count, turned = inputs.shape[0], inputs.T
    apart = penalty / weight
    kernel = LinearOperator((count, count), lambda each: inputs @ (turned @ each) + apart * each)
    found, _ = cg(kernel, value, rtol=1e-3, maxiter=200)
    line: NDArray[np.float32] = (turned @ found).astype(np.float32)
    return line


def alike(asked: Sparse, known: Sparse) -> Floats:
    """What the texts have in common: the product of their columns (asked x known)."""
    if asked.shape[0] <= FEW:  # to turn the known ones takes longer than to walk through them
        return np.asarray((known @ asked.toarray().T).T, dtype=np.float64)
    return np.asarray((asked @ known.T).toarray(), dtype=np.float64)


def shared(asked: Sparse, known: Sparse) -> Floats:
    """The share of the words of two bags that is in both (Jaccard 1901; asked x known); of words counted once."""
    both, either = alike(asked, known), np.diff(asked.indptr)[:, None] + np.diff(known.indptr)[None, :]
    return np.asarray(np.divide(both, either - both, out=np.zeros_like(both), where=either > both))


def _base(columns: Floats) -> Floats:
    """An orthonormal base of a few long columns, the direction of most weight first; without columns where all are 0.

    By the products of the columns with each other: a factorisation of the long columns themselves takes ten times
    longer beside other work.
    """
    weight, turned = np.linalg.eigh(columns.T @ columns)
    there = weight[::-1] > 1e-12 * max(float(weight.max(initial=0.0)), 1e-300)
    return np.asarray((columns @ turned[:, ::-1][:, there]) / np.sqrt(weight[::-1][there]))


@dataclass(frozen=True, eq=False)
class Reduced:
    """Texts in few numbers: the directions in which they differ most, of their weightiest columns.

    By a randomised singular value decomposition (Halko, Martinsson & Tropp 2011).
    """

    weight: NDArray[np.float32]  # of each column, as of Weighed
    place: NDArray[np.int32]  # of each column among those that count; -1: it does not
    directions: NDArray[np.float32]

    @classmethod
    def of(cls, bags: Sequence[Sparse], lengths: Sequence[float], count: int, most: int = 8192) -> Self:
        """The `count` directions of the parts of some texts."""
        weighed = Weighed.of(bags)
        told = weighed.told(bags, lengths)
        heavy = np.bincount(told.indices, told.data.astype(np.float64) ** 2, told.shape[1])
        kept = np.sort(np.argsort(-heavy, kind="stable")[:most])
        place = np.full(told.shape[1], -1, dtype=np.int32)
        place[kept] = np.arange(len(kept))
        blank = cls(weighed.weight, place, np.zeros((len(kept), count), dtype=np.float32))
        inputs = blank._kept(told)
        span = _base(inputs @ np.random.default_rng(1).normal(size=(len(kept), 2 * count)))
        for _ in range(3):
            span = _base(inputs @ _base(inputs.T @ span))
        right = _base(inputs.T @ span)[:, :count]
        directions = np.zeros((len(kept), count), dtype=np.float32)
        directions[:, : right.shape[1]] = right
        return cls(weighed.weight, place, directions)

    def _kept(self, told: Sparse) -> Sparse:
        place = self.place[told.indices]
        there = place >= 0
        return _placed(told.data[there], rows_of(told)[there], place[there], told.shape[0], len(self.directions))

    def told(self, bags: Sequence[Sparse], lengths: Sequence[float]) -> Floats:
        """Each text in `count` numbers."""
        told = Weighed(self.weight).told(bags, lengths)
        return np.asarray(self._kept(told) @ self.directions, dtype=np.float64)

    def save(self, folder: Path) -> None:
        """Write it as npz."""
        np.savez(folder / "text.npz", **asdict(self))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read it."""
        with np.load(folder / "text.npz") as kept:
            return cls(**kept)
