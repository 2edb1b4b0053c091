"""What an experiment is: claims of the thesis, the figures that answer them, and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Claim", "Experiment", "Value"]


@dataclass(frozen=True)
class Value:
    """A figure: a measure of the runs of an arm, and what it is to reach."""

    arm: str
    #: Name of a measure, of each run or of all together; see :mod:`chromacc_models.experiments.measures`.
    measure: str
    #: Smallest mean over runs that is enough; None where any value is a finding.
    goal: float | None = None
    #: Arm whose same measure is taken off, run by run.
    less: str | None = None
    #: Measure that is the most that this one can be.
    of: str | None = None
    #: Whether some options, or the way of reading, were chosen by windows that this figure is of.
    chosen: bool = False


@dataclass(frozen=True)
class Claim:
    """One row of the page."""

    what: str
    #: What the thesis has, in its own figures.
    published: str
    thesis: Value | None = None
    improved: Value | None = None


@dataclass(frozen=True)
class Experiment:
    """A section of the thesis."""

    name: str
    title: str
    claims: tuple[Claim, ...]
    #: Pictures by kind and title; each is drawn of some arms, named as in the legend.
    pictures: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: Figures of the thesis that pictures are counterparts of, by their titles.
    figures: Mapping[str, str] = field(default_factory=dict)
    #: Arms whose interactions of planted pairs are tested against others, and what the thesis found.
    tested: tuple[str, ...] = ()
    published_test: str = ""
    #: What a reader would wonder about.
    remark: str = ""
