"""What a report must keep, one sentence a check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from foretell.contract import INSTANT, Answer, History, Report, Request, Sample
from foretell.engine.collect import narrowed
from foretell.errors import BrokenDomain
from foretell.testing.compare import apart


@dataclass(frozen=True, kw_only=True)
class Paper:
    """A report on its domain's sample."""

    where: str
    report: Report
    sample: Sample


def every_report_is_valid(paper: Paper) -> None:
    """Every report of the sample is an instance of its answer, survives a round trip, and is the same twice."""
    for request in paper.sample.requests[paper.report.name]:
        answer = _computed(paper, request, paper.sample.history)
        again = paper.report.answer.model_validate_json(answer.model_dump_json())
        twice = _computed(paper, request, History(paper.sample.history.standpoint, paper.sample.history.tables))
        for other, words in ((again, "when dumped and validated"), (twice, "when computed again")):
            if differ := apart(answer.model_dump(), other.model_dump()):
                raise BrokenDomain(f"{paper.where}: the report on {request!r} changes {words}: {differ}")


def a_report_reads_no_more(paper: Paper) -> None:
    """The declared lookback is true for reports: with what the reads allow a request, its report is the same."""
    for request in paper.sample.requests[paper.report.name]:
        about = paper.report.about(request) if paper.report.about else {}
        history = paper.sample.history
        asked = pl.DataFrame({"as_of": pl.Series([history.now], dtype=INSTANT), **about})
        whole, narrow = (
            _computed(paper, request, seen) for seen in (history, narrowed(history, paper.report.reads, asked))
        )
        if differ := apart(whole.model_dump(), narrow.model_dump()):
            raise BrokenDomain(
                f"{paper.where}: the declared reads are too narrow: they change the report on {request!r}; {differ}"
            )


def _computed(paper: Paper, request: Request, history: History) -> Answer:
    answer, wanted = paper.report.compute(request, history), paper.report.answer
    if not isinstance(answer, wanted):
        raise BrokenDomain(f"{paper.where}: it gives a {type(answer).__name__}, not a {wanted.__name__}")
    return answer


CHECKS: tuple[Callable[[Paper], None], ...] = (every_report_is_valid, a_report_reads_no_more)
