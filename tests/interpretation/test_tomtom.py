"""Tomtom: outputs of the real program, random columns, and q-values by hand."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from chromacc_data.motifs.files import read_motifs
from chromacc_data.motifs.motif import Motif, reverse_complement
from chromacc_models.interpretation.tomtom import (
    best_e_values,
    match_motifs,
    match_table,
    null_share,
    null_table,
    q_values,
    shuffle_columns,
)


def random_motifs(n: int, *, width: int = 8, seed: int = 0) -> list[Motif]:
    rng = np.random.default_rng(seed)
    return [Motif(f"M{i}", rng.dirichlet([0.3] * 4, width)) for i in range(n)]


@pytest.fixture(scope="module")
def database() -> list[Motif]:
    return random_motifs(60)


# The real program's outputs


@dataclasses.dataclass
class Reference:
    """A table that Tomtom wrote, and the same comparison made here."""

    rows: pd.DataFrame
    found: object
    #: Index of query and target of each row.
    at: tuple[np.ndarray, np.ndarray]
    targets: tuple[Motif, ...]

    def correlation(self, name: str, column: str) -> float:
        ours = np.log10(getattr(self.found, name)[self.at])
        return float(np.corrcoef(ours, np.log10(self.rows[column]))[0, 1])

    def share_of_same_best(self, *, absent: tuple[str, ...] = ()) -> float:
        """Queries with the same best target, of those that Tomtom matched at E <= 0.01."""
        p = np.where(np.isin([motif.id for motif in self.targets], absent), np.inf, self.found.p)
        rows = self.rows.assign(query=self.at[0]).sort_values("p-value").groupby("query").first()
        rows = rows[rows["E-value"] <= 0.01]
        best = [self.targets[p[query].argmin()].id for query in rows.index]
        return float(np.mean(rows["Target_ID"] == best))


def compare_with(folder: Path, filters: str, table: str, targets: Path) -> Reference:
    queries, targets = read_motifs(folder / filters), read_motifs(targets)
    query = {motif.id: i for i, motif in enumerate(queries)}
    target = {motif.id: i for i, motif in enumerate(targets)}
    rows = pd.read_csv(folder / table, sep="\t", comment="#").dropna(subset="Target_ID")
    rows = rows[rows["Target_ID"].isin(target)].reset_index(drop=True)
    at = rows["Query_ID"].map(query).to_numpy(), rows["Target_ID"].map(target).to_numpy()
    return Reference(rows, match_motifs(queries, targets), at, targets)


@pytest.fixture(scope="module")
def cisbp(shared_data: Path) -> Reference:
    """Tomtom 5.0.3 on CIS-BP, whose matrices have `nsites= 1`."""
    return compare_with(
        shared_data / "tomtom_ref" / "satori_human",
        "filters_from_xml.meme",
        "tomtom.tsv",
        shared_data / "motifs" / "CISBP_Homo_sapiens_basset.meme",
    )


@pytest.fixture(scope="module")
def jaspar(shared_data: Path) -> Reference:
    """Tomtom 5.4.1 on JASPAR."""
    return compare_with(
        shared_data / "tomtom_ref" / "explainn",
        "explainn_filters.meme",
        "MAX_JUND_FOXA1_tomtom.tsv",
        shared_data / "motifs" / "JASPAR2020_CORE_vertebrates_nr.meme",
    )


@pytest.mark.shared
def test_match_motifs__equals_tomtom_on_jaspar(jaspar: Reference):
    assert len(jaspar.rows) == 2437
    assert jaspar.correlation("p", "p-value") > 0.999999
    assert jaspar.correlation("e", "E-value") > 0.999999
    assert jaspar.correlation("q", "q-value") > 0.999999
    np.testing.assert_allclose(jaspar.found.q[jaspar.at], jaspar.rows["q-value"], rtol=0.03)
    assert jaspar.share_of_same_best() == 1
    assert (jaspar.found.offset[jaspar.at] == jaspar.rows["Optimal_offset"]).mean() > 0.999
    assert (jaspar.found.overlap[jaspar.at] == jaspar.rows["Overlap"]).mean() > 0.999
    strand = np.where(jaspar.rows["Orientation"] == "+", 1, -1)
    assert (jaspar.found.strand[jaspar.at] == strand).mean() > 0.999


@pytest.mark.shared
def test_match_motifs__equals_tomtom_on_cisbp(cisbp: Reference):
    assert len(cisbp.rows) == 1010
    assert cisbp.correlation("p", "p-value") > 0.9995
    assert cisbp.correlation("q", "q-value") > 0.998
    # Their CIS-BP was another release, with 733 motifs: it cannot have held M1072_1.02, which its Tomtom
    # would have had to report as the best match of filter128.
    assert cisbp.share_of_same_best(absent=("M1072_1.02",)) >= 0.98
    assert (cisbp.found.offset[cisbp.at] == cisbp.rows["Optimal_offset"]).mean() > 0.99
    assert (cisbp.found.strand[cisbp.at] == np.where(cisbp.rows["Orientation"] == "+", 1, -1)).mean() > 0.995


# By hand and by law


def test_match_motifs__a_target_finds_itself_reversed_and_shifted(database: list[Motif]):
    flat = np.full((3, 4), 0.25)
    longer = Motif("x", np.concatenate([flat, database[5].ppm]))
    found = match_motifs([longer, reverse_complement(database[9])], database)
    assert found.p.argmin(axis=1).tolist() == [5, 9]
    assert (found.offset[0, 5], found.overlap[0, 5], found.strand[0, 5]) == (-3, 8, 1)
    assert (found.offset[1, 9], found.overlap[1, 9], found.strand[1, 9]) == (0, 8, -1)
    np.testing.assert_allclose(found.e, found.p * 60)


def test_match_motifs__palindromes_are_forward():
    half = random_motifs(1, width=4)[0].ppm
    database = [*random_motifs(60, seed=1), Motif("palindrome", np.concatenate([half, half[::-1, ::-1]]))]
    found = match_motifs(database[-1:], database)
    assert (found.p[0].argmin(), found.strand[0, 60], found.offset[0, 60]) == (60, 1, 0)


def test_match_motifs__queries_do_not_influence_each_other(database: list[Motif]):
    queries = [*random_motifs(3, width=12, seed=2), Motif("flat", np.full((12, 4), 0.25))]
    together = match_motifs(queries, database)
    assert np.isfinite(together.p).all()
    for i, query in enumerate(queries):
        np.testing.assert_array_equal(match_motifs([query], database).p[0], together.p[i])


def test_match_motifs__both_strands_of_a_query_are_the_same(database: list[Motif]):
    queries = random_motifs(3, width=10, seed=3)
    found = match_motifs(queries, database)
    reversed_ = match_motifs([reverse_complement(query) for query in queries], database)
    np.testing.assert_allclose(reversed_.p, found.p, rtol=1e-9)


def test_match_motifs__counts_of_one_site_are_shrunk(database: list[Motif]):
    single = [dataclasses.replace(motif, n_sites=1) for motif in database]
    by_hand = [Motif(motif.id, (motif.ppm + 0.025) / 1.1) for motif in database]
    expected = match_motifs(by_hand[:3], by_hand, pseudocount=0)
    np.testing.assert_allclose(match_motifs(single[:3], single).p, expected.p)


def test_match_motifs__few_targets_are_said(database: list[Motif], caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, logger="chromacc"):
        match_motifs(database[:1], database[:10])
    assert "only 10 targets" in caplog.text
    with pytest.raises(ValueError, match="0 queries and 60 targets"):
        match_motifs([], database)


def test_match_motifs__p_values_of_random_queries_are_uniform():
    # Queries that are drawn from the columns of the targets are what the p-value is about.
    database = random_motifs(400, seed=4)
    columns = np.concatenate([motif.ppm for motif in database])
    rng = np.random.default_rng(5)
    queries = [Motif(f"Q{i}", columns[rng.integers(len(columns), size=8)]) for i in range(100)]
    p = match_motifs(queries, database).p
    assert 0.04 < (p <= 0.05).mean() < 0.06
    assert 0.4 < (p <= 0.5).mean() < 0.6


def test_match_table__best_first_and_reversed(database: list[Motif]):
    queries = [reverse_complement(database[9]), database[2]]
    queries = [dataclasses.replace(query, id=f"filter_{i}") for i, query in enumerate(queries)]
    table = match_table(match_motifs(queries, database), queries, database, max_e=60)
    assert len(table) == 120
    best = table.groupby("Query_ID").first()
    assert best["Target_ID"].tolist() == ["M9", "M2"]
    assert best["Orientation"].tolist() == ["-", "+"]
    assert (best["Query_consensus"] == best["Target_consensus"]).all()
    assert table.groupby("Query_ID")["p-value"].apply(lambda p: p.is_monotonic_increasing).all()
    assert len(match_table(match_motifs(queries, database), queries, database, max_e=1e-6)) == 2
    nulls = {"shuffled": np.array([1e-9, 0.5, 60])}
    with_nulls = match_table(match_motifs(queries, database), queries, database, nulls=nulls, max_e=60)
    np.testing.assert_array_equal(
        with_nulls["null_shuffled"], null_share(nulls["shuffled"], with_nulls["E-value"])
    )
    assert with_nulls["null_shuffled"].nunique() > 1


# Q-values


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=100))
def test_q_values__few_are_benjamini_and_hochbergs(p: list[float]):
    np.testing.assert_allclose(q_values(np.array(p)), false_discovery_control(p), atol=1e-12)


def test_q_values__share_of_nulls_by_hand():
    # 200 hypotheses: half have p = 0.001, the others are spread evenly, so about half are true nulls.
    p = np.concatenate([np.full(100, 0.001), (np.arange(100) + 0.5) / 100])
    q = q_values(np.stack([p, np.linspace(0, 1, 200)]))
    share = q[0] / false_discovery_control(p)
    assert share.max() == pytest.approx(share.min())
    assert share.max() == pytest.approx(0.5, abs=0.01)
    np.testing.assert_allclose(q[1], false_discovery_control(np.linspace(0, 1, 200)), rtol=0.02)


def test_q_values__share_of_nulls_equals_a_bootstrap():
    # 40 small p-values, and others that thin out above 0.6: where lambda may go makes a difference.
    rng = np.random.default_rng(0)
    p = np.sort(np.concatenate([np.full(40, 1e-4), rng.random(160) * 0.6, 0.6 + 0.4 * rng.random(20)]))
    lambdas = np.arange(1, 101) / 200
    shares = np.array([(p >= limit).mean() / (1 - limit) for limit in lambdas])
    errors = np.zeros(100)
    for _ in range(100):
        drawn = rng.choice(p, 1000)
        estimates = np.array([(drawn >= limit).mean() / (1 - limit) for limit in lambdas])
        errors += (estimates - shares.min()) ** 2
    share = q_values(p)[0] / false_discovery_control(p)[0]
    assert share == pytest.approx(shares[errors.argmin()], abs=0.02)


def test_q_values__too_few_for_a_share_of_nulls():
    p = np.concatenate([np.full(50, 0.001), (np.arange(50) + 0.5) / 50])
    np.testing.assert_allclose(q_values(p), false_discovery_control(p))
    assert (q_values(np.append(p, 0.001)) < false_discovery_control(np.append(p, 0.001))).all()


# What chance gives


def test_null_share__counts_equal_ones_and_itself():
    assert null_share(np.array([3.0, 1.0, 2.0]), np.array([[0.5, 1.0], [2.0, 9.0]])).tolist() == [
        [0.25, 0.5],
        [0.75, 1.0],
    ]


def test_shuffle_columns__keeps_the_columns():
    motifs = random_motifs(3)
    shuffled = shuffle_columns(motifs, n=7, seed=1)
    assert len({motif.id for motif in shuffled}) == 7
    for i, motif in enumerate(shuffled):
        source = motifs[i % 3].ppm
        assert sorted(map(tuple, motif.ppm)) == sorted(map(tuple, source))
        assert not np.array_equal(motif.ppm, source)
    again = shuffle_columns(motifs, n=7, seed=1)
    assert all(np.array_equal(a.ppm, b.ppm) for a, b in zip(shuffled, again, strict=True))
    other = shuffle_columns(motifs, n=7, seed=2)
    assert any(not np.array_equal(a.ppm, b.ppm) for a, b in zip(shuffled, other, strict=True))


def test_null__planted_motifs_stand_out(database: list[Motif]):
    planted = database[:6]
    e = best_e_values(planted, database)
    null_e = best_e_values(shuffle_columns(planted, n=99), database)
    assert (null_share(null_e, e) == 0.01).all()  # none of 99 is as good
    table = null_table(e, {"shuffled": null_e}, thresholds=[1e-3, 60])
    assert table["matched"].tolist() == [6, 6]
    assert table["expected_shuffled"].tolist() == [0, 6]


def test_match_motifs__a_silent_filter_is_no_motif(database: list[Motif]):
    flat, sharp = Motif("flat", np.full((20, 4), 0.25)), database[3]
    found = match_motifs([flat, sharp], database)
    assert (found.p[0] == 1).all()
    assert (found.e[0] == len(database)).all()
    assert found.e[1].min() < 1e-4
