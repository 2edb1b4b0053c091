from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chromacc_data.motifs.files import read_motifs
from chromacc_data.motifs.motif import Motif, reverse_complement
from chromacc_models.interpretation.motif_clusters import cluster_motifs
from chromacc_models.interpretation.tomtom import match_motifs


def random_motifs(n: int, width: int = 8) -> list[Motif]:
    rng = np.random.default_rng(0)
    return [Motif(f"M{i}", rng.dirichlet([0.2] * 4, width), f"TF{i}") for i in range(n)]


def renamed(motif: Motif, id: str, name: str) -> Motif:
    return Motif(id, motif.ppm, name)


def test_cluster_motifs__on_either_strand_with_the_names_of_all():
    known = random_motifs(55)
    family = [renamed(known[3], f"F{i}", f"FAM{i}") for i in range(4)]
    turned = renamed(reverse_complement(known[7]), "R", "TURNED TF")
    clusters = cluster_motifs([*known, *family, turned], max_e=1e-4)
    assert len(clusters) == 55
    assert [c.members[0].id for c in clusters] == [motif.id for motif in known]
    assert [motif.id for motif in clusters[3].members] == ["M3", "F0", "F1", "F2", "F3"]
    assert clusters[3].name == "TF3/FAM0/+3"
    assert clusters[7].name == "TF7/TURNED_TF"


def test_cluster_motifs__representative_is_in_the_middle():
    rng = np.random.default_rng(1)
    middle = rng.dirichlet([0.2] * 4, 10)
    noisy = [0.75 * middle + 0.25 * rng.dirichlet([0.5] * 4, 10) for _ in range(5)]
    motifs = [*[Motif(f"N{i}", ppm) for i, ppm in enumerate(noisy)], *random_motifs(55)]
    cluster = cluster_motifs(motifs, max_e=0.1)[0]
    assert [motif.id for motif in cluster.members] == ["N0", "N1", "N2", "N3", "N4"]
    e = match_motifs(motifs, motifs).e[:5, :5]
    to_others = [np.mean([np.log(max(e[i, j], e[j, i])) for j in range(5) if j != i]) for i in range(len(e))]
    assert cluster.representative.id == f"N{np.argmin(to_others)}"


def test_cluster_motifs__a_stricter_limit_makes_more_of_them_and_zero_keeps_all():
    motifs = [*random_motifs(55), *[renamed(m, f"{m.id}b", m.name) for m in random_motifs(5)]]
    numbers = [len(cluster_motifs(motifs, max_e=e)) for e in (10, 0.01, 0)]
    assert numbers[0] < numbers[1] == 55 < numbers[2] == 60
    e = match_motifs(motifs, motifs).e
    place = {motif.id: i for i, motif in enumerate(motifs)}
    for cluster in cluster_motifs(motifs, max_e=10):
        members = [place[motif.id] for motif in cluster.members]
        assert (e[np.ix_(members, members)] <= 10).all()


def test_cluster_motifs__names_are_unique():
    a, b = random_motifs(2)
    names = [c.name for c in cluster_motifs([renamed(a, "X1", "CTCF"), renamed(b, "X2", "CTCF")], max_e=0)]
    assert names == ["CTCF(X1)", "CTCF(X2)"]
    assert [c.name for c in cluster_motifs([a], max_e=0.01)] == ["TF0"]


@pytest.mark.shared
def test_cluster_motifs__jaspar(shared_data: Path):
    motifs = read_motifs(shared_data / "motifs" / "JASPAR2020_CORE_vertebrates_nr.meme")
    clusters = cluster_motifs(motifs, max_e=0.01)
    assert clusters == cluster_motifs(motifs, max_e=0.01)
    assert sum(len(cluster.members) for cluster in clusters) == len(motifs) == 746
    assert len({cluster.name for cluster in clusters}) == len(clusters) == 295
    together = [{"CTCF", "CTCFL"}, {"HNF1A", "HNF1B"}, {"HNF4A", "HNF4G"}, {"MAX::MYC", "MYC", "MYCN"}]
    for names in together:
        assert any(names <= {motif.name for motif in cluster.members} for cluster in clusters), names
