"""What issues of the generated workspace are written with: words that depend on the work, where it is and how large.

A reader learns the kind of work from nouns and components surely, the size from hints, most of them right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from numpy.random import Generator

T = TypeVar("T")

POINTS = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0)
TRUE_HINT = 0.97  # how often a hint is of the issue's own size; else of the next smaller or larger
BRIEF, VERBOSE = 0.15, 0.25  # of the descriptions

PORTFOLIO = (
    ("shop", "Shop platform", ("cart", "checkout", "catalogue", "voucher", "wishlist", "review")),
    ("admin", "Admin dashboard", ("role", "report", "audit", "refund", "inventory", "supplier")),
    ("mobile", "Mobile app", ("login", "push", "profile", "offline", "scanner", "onboarding")),
    ("payments", "Payments gateway", ("card", "payout", "ledger", "chargeback", "currency", "invoice")),
    ("analytics", "Analytics", ("event", "funnel", "cohort", "export", "segment", "metric")),
)
COMPONENTS: dict[str, dict[str, tuple[str, ...]]] = {
    "backend": {
        "api": ("endpoint", "request handler", "response format", "webhook"),
        "database": ("table", "query", "index", "schema"),
    },
    "frontend": {
        "pages": ("page", "form", "list view", "dialog"),
        "ui-kit": ("component", "widget", "state store", "navigation"),
    },
    "qa": {
        "test-suite": ("regression tests", "test data", "smoke tests"),
        "automation": ("end-to-end tests", "test runner", "load tests"),
    },
    "devops": {
        "deployment": ("pipeline", "release job", "container image"),
        "infrastructure": ("cluster", "monitoring", "backup", "alerts"),
    },
    "design": {
        "ux": ("user flow", "wireframe", "prototype"),
        "visual": ("icon set", "colour scheme", "layout"),
    },
}
OPENINGS = {
    "backend": "Services ask for the {}.",
    "frontend": "People see the {} in the browser.",
    "qa": "A release waits for the {}.",
    "devops": "Every environment has the {}.",
    "design": "It is about how the {} looks and feels.",
}
TYPES = {
    "backend": (("story", 0.5), ("bug", 0.3), ("task", 0.2)),
    "frontend": (("story", 0.55), ("bug", 0.35), ("task", 0.1)),
    "qa": (("task", 0.7), ("bug", 0.3)),
    "devops": (("task", 0.85), ("bug", 0.15)),
    "design": (("story", 0.8), ("task", 0.2)),
}
PRIORITIES = (("low", 0.2), ("medium", 0.5), ("high", 0.25), ("critical", 0.05))
SKILLS = ("backend", "frontend", "qa", "backend", "devops", "frontend", "design", "backend", "qa", "frontend")
FIRST = (
    "Ada", "Bilal", "Chiara", "Dario", "Elif", "Femi", "Greta", "Hugo", "Ines", "Jonas", "Kira", "Luis", "Mona", "Nils",
    "Olga", "Paul", "Rana", "Sven", "Tala", "Umar", "Vera", "Wim", "Yara", "Zeno",
)  # fmt: skip
LAST = (
    "Adler", "Bauer", "Costa", "Demir", "Engel", "Fischer", "Garcia", "Haddad", "Ito", "Jansen", "Keller", "Lopez",
)  # fmt: skip

VERBS = (
    ("Rename", "Reword"), ("Update", "Tidy"), ("Add", "Validate"),
    ("Extend", "Refactor"), ("Implement", "Integrate"), ("Redesign", "Migrate"),
)  # fmt: skip
FIXES = ("Fix typo in", "Fix label of", "Fix check in", "Fix crash of", "Fix race in", "Fix corruption by")
SCOPES = (
    ("in one place", "by a flag"), ("for one case", "as elsewhere"), ("with validation", "for all roles"),
    ("with edge cases", "and its settings"), ("across services", "with retries and audit"),
    ("without downtime", "from end to end"),
)  # fmt: skip
DETAILS = (
    ("A one-line change.", "Trivial."),
    ("Small, a similar change was made before.", "Only one file is touched."),
    ("A new field, its check and a message.", "Two places have to agree."),
    ("Several modules change together.", "Old clients must go on working."),
    ("Other teams have to agree on the interface.", "Needs a rollout in steps."),
    ("Old and new have to run side by side.", "Data has to be moved and compared."),
)
FILLERS = (
    "Support asked for it again.", "See the notes of the meeting.", "The screenshot is attached.",
    "Customers have mentioned it.", "Ask the product owner when in doubt.", "Promised for this quarter.",
)  # fmt: skip


def one(random: Generator, among: Sequence[T]) -> T:
    """One of some things, each as likely."""
    return among[int(random.integers(len(among)))]


def weighted(random: Generator, among: Sequence[tuple[T, float]]) -> T:
    """One of some things, each as likely as the share beside it; the shares add up to one."""
    drawn = random.random()
    for thing, share in among:
        drawn -= share
        if drawn < 0:
            return thing
    return among[-1][0]


def write(random: Generator, what: str, kind: str, size: int, *, bug: bool) -> tuple[str, str]:
    """Title and description of an issue about `what` ("cart table"), whose points would be `POINTS[size]`."""

    def hint(of: Sequence[Sequence[str]]) -> str:
        near = size if random.random() < TRUE_HINT else size + one(random, (-1, 1))
        return one(random, of[min(max(near, 0), len(of) - 1)])

    title = f"{hint([(fix,) for fix in FIXES] if bug else VERBS)} {what} {hint(SCOPES)}"
    opening = f"{'Found in use. ' if bug else ''}{OPENINGS[kind].format(what)}"
    length = random.random()
    if length < BRIEF:
        return title, one(random, ("", opening, one(random, FILLERS)))
    said = [opening, hint(DETAILS)]
    if length > 1 - VERBOSE:
        more = random.permutation(len(FILLERS))[: int(random.integers(3, 6))]
        said += [*(FILLERS[int(k)] for k in more), hint(DETAILS)]
    return title, " ".join(said)
