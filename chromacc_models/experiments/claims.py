"""Types of an experiment: claims of the thesis, the figures here that answer them, and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Claim", "Experiment", "Tuning", "Value"]


class Tuning(NamedTuple):
    """Why a figure has a dagger: options were tuned on windows that are also used for the figure."""

    #: One sentence for the page.
    what: str
    #: Heading of `docs/trials.md` that tells the rest, as a link names it.
    section: str


@dataclass(frozen=True)
class Value:
    """A figure: a measure of the runs of an arm, and its goal."""

    arm: str
    #: Name of a measure, of each run or of all together; see :mod:`chromacc_models.experiments.measures`.
    measure: str
    #: Smallest mean over runs that meets the goal; None where any value is a finding.
    goal: float | None = None
    #: Arm whose same measure is subtracted, run by run.
    less: str | None = None
    #: Measure that is the most that this one can be.
    of: str | None = None
    #: How options, or the interpretation, were tuned on windows that this figure uses; None if they were not.
    tuning: Tuning | None = None


@dataclass(frozen=True)
class Claim:
    """One row of a table of the page."""

    what: str
    #: The figure of the thesis; empty where it reports none.
    published: str = ""
    thesis: Value | None = None
    improved: Value | None = None
    #: What the figure of the thesis refers to, where that is not what the row says.
    note: str = ""
    #: A few words for the table at the top of the page; empty for rows that are not in it.
    headline: str = ""

    @property
    def values(self) -> tuple[Value, ...]:
        """The values of both settings, as far as they exist."""
        return tuple(value for value in (self.thesis, self.improved) if value is not None)


@dataclass(frozen=True)
class Experiment:
    """A section of the thesis."""

    name: str
    title: str
    #: What is asked, for someone who has not read the thesis.
    question: str
    claims: tuple[Claim, ...]
    #: Pictures by kind and title; each is drawn of some arms, named as in the legend.
    pictures: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: Figures of the thesis that pictures are counterparts of, by their titles.
    figures: Mapping[str, str] = field(default_factory=dict)
    #: Arms whose interactions of planted pairs are tested against others, and what the thesis found.
    tested: tuple[str, ...] = ()
    published_test: str = ""
    #: What needs an explanation.
    remark: str = ""

    @property
    def values(self) -> list[Value]:
        """All values of its claims."""
        return [value for claim in self.claims for value in claim.values]

    @property
    def heading(self) -> str:
        """Its heading on the page."""
        return f"{self.name} {self.title}"
