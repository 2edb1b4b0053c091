"""Trained networks against public measurements: what base changes do, and what people carry.

    python tests/benchmarks/real_truth.py --truth FOLDER --genome chr20.fa.gz chrX.fa.gz --model MODEL...

For each model, three kinds of truth, with 95 % intervals by bootstrap over sites:

- saturation mutagenesis of regulatory elements in reporter assays (Kircher 2019): Pearson and Spearman
  correlation of effects, of all single base changes with 10 barcodes and of the significant ones;
- SNPs that change what reporters make (SuRE; van Arensbergen 2019): correlation, and the share of signs;
- DNase QTLs (Degner 2012; Lee 2015): correlation and signs of effects; QTLs against controls by the largest
  of the three substitutions at a site, compared with the published deltaSVM and with being in a peak.

`--sites odd` shows the sites at odd positions only: choose options by those, and report the even ones.
Nothing here was trained on; the SNPs lie on chromosomes 20 and X, which the shipped models see in training
with their reference allele.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyfaidx
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from chromacc_data.sequences.encoding import N_CODE, encode
from chromacc_data.sequences.genome import Genome
from chromacc_models.effects.substitutions import Substitutions
from chromacc_models.scoring.predict import find_network
from chromacc_models.scoring.scorer import Scorer

_N_BOOTSTRAP = 1000
_BASES = "ACGT"
_BATCH = 256


class Model:
    """A network with its cell types, asked for the effects of substitutions."""

    def __init__(self, path: Path) -> None:
        network = find_network(path)
        self.name, self.cell_types = path.name, list(network.cell_types)
        self.scorer = Scorer.open(network.weights)
        self.substitutions = Substitutions(self.scorer)

    def effects(self, codes: np.ndarray) -> np.ndarray:
        """Changes of logits by each base in the middle of windows, (window, base, cell_type)."""
        middle = self.scorer.window_length // 2
        parts = [
            self.substitutions.effects(codes[i : i + _BATCH], first=middle, stop=middle + 1)[:, 0]
            for i in range(0, len(codes), _BATCH)
        ]
        return np.concatenate(parts)

    def column(self, cell_type: str | None) -> slice | list[int]:
        """Columns of a cell type; of all cell types where the model lacks it."""
        return [self.cell_types.index(cell_type)] if cell_type in self.cell_types else slice(None)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--truth", type=Path, required=True, help="folder of the measurements")
    parser.add_argument("--genome", type=Path, nargs="+", required=True, help="FASTA files of hg19")
    parser.add_argument("--model", type=Path, nargs="+", required=True, help="model folders or runs")
    parser.add_argument("--sites", choices=("all", "odd", "even"), default="all", help="positions to use")
    parser.add_argument("-o", "--out", type=Path, help="table to write, TSV")
    arguments = parser.parse_args()
    genome = Genome.open(arguments.genome)
    rows = []
    for path in arguments.model:
        model = Model(path)
        for truth in (mutagenesis, reporter_snps, dnase_qtls, qtls_against_controls):
            found = pd.DataFrame(truth(model, genome, arguments.truth, arguments.sites))
            found.insert(0, "model", model.name)
            rows.append(found)
    table = pd.concat(rows, ignore_index=True)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    if arguments.out:
        table.to_csv(arguments.out, sep="\t", index=False)
    return 0


def mutagenesis(model: Model, genome: Genome, truth: Path, sites: str) -> list[dict]:
    """Saturation mutagenesis: one row for each element and set of variants."""
    table = pd.read_csv(truth / "satmut_mpra" / "satmut_hg19.tsv.gz", sep="\t")
    about = pd.read_csv(truth / "satmut_mpra" / "elements_summary.tsv", sep="\t").set_index("element")
    table = table[(table["barcodes"] >= 10) & table["alt"].isin(list(_BASES))]
    table = _of_sites(table, sites)
    rows = []
    with pyfaidx.Fasta(str(truth / "satmut_mpra" / "elements.fa")) as fasta:
        for element, variants in table.groupby("element", sort=False):
            codes = encode(str(fasta[str(element)]))
            offset = variants["pos"].to_numpy() - about.loc[element, "start1"]
            ref, alt = (encode("".join(variants[name])) for name in ("ref", "alt"))
            if not (codes[offset] == ref).all():
                raise SystemExit(f"{element}: reference bases differ")
            effects = model.effects(_windows_of(codes, offset, model.scorer.window_length))
            cell_type = about.loc[element, "our_cell"]
            found = effects[np.arange(len(alt)), alt][:, model.column(cell_type)].mean(axis=1)
            measured = variants["log2_effect"].to_numpy()
            significant = variants["pvalue"].to_numpy() < 1e-5
            for name, chosen in (("all", np.ones(len(alt), bool)), ("significant", significant)):
                label = f"mutagenesis, {element}, {name}"
                in_cell = cell_type if cell_type in model.cell_types else "mean"
                rows += _correlations(label, in_cell, measured[chosen], found[chosen])
    return rows


def reporter_snps(model: Model, genome: Genome, truth: Path, sites: str) -> list[dict]:
    """SuRE: one row for each cell type, all SNPs and those in peaks."""
    rows = []
    for cell_type in ("HepG2", "K562"):
        table = _of_sites(
            pd.read_csv(truth / "sure_raqtl" / f"raqtl_{cell_type}_hg19_chr20_chrX.tsv", sep="\t"), sites
        )
        measured = table["log2_alt_over_ref"].to_numpy()
        found = _snp_effects(model, genome, table)[:, model.column(cell_type)].mean(axis=1)
        in_peak = table["in_dnase_peak"].to_numpy()
        for name, chosen in (("all", np.ones(len(found), bool)), ("in peaks", in_peak)):
            rows += _correlations(f"SuRE, {name}", cell_type, measured[chosen], found[chosen])
    return rows


def dnase_qtls(model: Model, genome: Genome, truth: Path, sites: str) -> list[dict]:
    """Degner's DNase QTLs of lymphoblastoid lines."""
    table = pd.read_csv(truth / "dsqtl_lcl" / "degner_dsqtl_hg19_chr20.tsv", sep="\t")
    table = _of_sites(table, sites)
    found = _snp_effects(model, genome, table)[:, model.column("GM12878")].mean(axis=1)
    return _correlations("dsQTL, Degner", "GM12878", table["effect_alt"].to_numpy(), found)


def qtls_against_controls(model: Model, genome: Genome, truth: Path, sites: str) -> list[dict]:
    """Lee's DNase QTLs: directions, and QTLs told from controls by the largest effect at a site."""
    table = pd.read_csv(truth / "dsqtl_lcl" / "lee2015_dsqtl_vs_control_hg19_chr20.tsv", sep="\t")
    table = _of_sites(table, sites)
    codes = _windows_of_genome(genome, table, model.scorer.window_length)
    effects = model.effects(codes)[:, :, model.column("GM12878")].mean(axis=2)
    is_qtl = table["label"].to_numpy() == 1
    qtls = table[is_qtl]
    minor, major = (encode("".join(qtls[name])) for name in ("minor", "major"))
    each = np.arange(len(qtls))
    found = effects[is_qtl][each, minor] - effects[is_qtl][each, major]
    measured = qtls["effect_minor"].to_numpy(float)
    rows = _correlations("dsQTL, Lee", "GM12878", measured, found)
    published = qtls["deltasvm_published_major_to_minor"].to_numpy()
    rows += _correlations("dsQTL, Lee: published deltaSVM", "GM12878", measured, published)
    for name, score in (
        ("largest effect", np.abs(effects).max(axis=1)),
        ("published deltaSVM", np.abs(table["deltasvm_published_major_to_minor"].to_numpy())),
        ("in a peak", table["in_gm12878_peak"].to_numpy().astype(float)),
    ):
        for measure, function in (("AUROC", roc_auc_score), ("AUPRC", average_precision_score)):
            label = f"dsQTL, Lee: {name}"
            rows.append(_row(label, "GM12878", measure, function, is_qtl.astype(int), score))
    return rows


def _correlations(truth: str, cell_type: str, measured: np.ndarray, found: np.ndarray) -> list[dict]:
    return [
        _row(truth, cell_type, "Pearson r", lambda a, b: stats.pearsonr(a, b).statistic, measured, found),
        _row(truth, cell_type, "Spearman r", lambda a, b: stats.spearmanr(a, b).statistic, measured, found),
        _row(truth, cell_type, "same sign", lambda a, b: np.mean(np.sign(a) == np.sign(b)), measured, found),
    ]


def _row(
    truth: str, cell_type: str, measure: str, function: Callable, measured: np.ndarray, found: np.ndarray
) -> dict:
    """A figure with its interval; NaN where it is not defined."""
    row = {"truth": truth, "cell_type": cell_type, "n": len(found), "measure": measure}
    if len(found) < 3 or np.ptp(measured) == 0 or np.ptp(found) == 0:
        return row | {"value": np.nan, "low": np.nan, "high": np.nan}
    rng, values = np.random.default_rng(0), []
    while len(values) < _N_BOOTSTRAP:
        rows = rng.integers(0, len(found), len(found))
        if np.ptp(measured[rows]) and np.ptp(found[rows]):
            values.append(function(measured[rows], found[rows]))
    low, high = np.quantile(values, (0.025, 0.975))
    return row | {"value": function(measured, found), "low": low, "high": high}


def _of_sites(table: pd.DataFrame, sites: str) -> pd.DataFrame:
    if sites == "all":
        return table
    return table[table["pos"] % 2 == (sites == "odd")]


def _snp_effects(model: Model, genome: Genome, table: pd.DataFrame) -> np.ndarray:
    """Changes of logits from `ref` to `alt`, (SNP, cell_type)."""
    effects = model.effects(_windows_of_genome(genome, table, model.scorer.window_length))
    ref, alt = (encode("".join(table[name])) for name in ("ref", "alt"))
    each = np.arange(len(table))
    return effects[each, alt] - effects[each, ref]


def _windows_of_genome(genome: Genome, table: pd.DataFrame, length: int) -> np.ndarray:
    chrom = genome.index(table["chrom"].to_numpy())
    codes = genome.windows(chrom, table["pos"].to_numpy() - 1 - length // 2, length)
    if not (codes[:, length // 2] == encode("".join(table["ref"]))).all():
        raise SystemExit("reference bases are not those of the genome")
    return codes


def _windows_of(codes: np.ndarray, offsets: np.ndarray, length: int) -> np.ndarray:
    """Windows of an element centred on positions, padded with N."""
    padded = np.pad(codes, length, constant_values=N_CODE)
    return np.lib.stride_tricks.sliding_window_view(padded, length)[offsets + length - length // 2]


if __name__ == "__main__":
    sys.exit(main())
