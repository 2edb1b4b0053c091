"""numba kernels of two alleles: from pooled values of both to logits, and to the filter that differs most."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from chromacc_data.compiled import compiled

__all__ = ["HeadColumns", "TopFilters", "compare_alleles"]

_kernel = compiled


class HeadColumns(NamedTuple):
    """A head, by filter and by cell type, in float64: sums of many terms are then exact to float32.

    Parameters
    ----------
    bias
        (cell_type,).
    columns
        (filter, column): weights of all cell types, their vectors (cell type by cell type), then the squared
        length of each vector.
    weights, lengths
        (cell_type, filter): weights, and squared lengths of vectors.
    vectors
        (cell_type, factor, filter); no factor in a dense head.
    """

    bias: np.ndarray
    columns: np.ndarray
    weights: np.ndarray
    lengths: np.ndarray
    vectors: np.ndarray


class TopFilters(NamedTuple):
    """Of each pair of alleles, the logit and the filter that change most, filled by the kernel.

    Parameters
    ----------
    cell_type, filter
        (allele,) int64; filter -1 where no pooled value differs.
    rises
        (allele,) int8: 1 where the pooled value of the filter rises, -1 where it falls, else 0.
    ref, alt
        (allele,) float32: what the filter adds to the logit with either allele.
    """

    cell_type: np.ndarray
    filter: np.ndarray
    rises: np.ndarray
    ref: np.ndarray
    alt: np.ndarray


@_kernel
def compare_alleles(
    ref: np.ndarray,
    alt: np.ndarray,
    head: HeadColumns,
    logit_ref: np.ndarray,
    delta: np.ndarray,
    top: TopFilters,
) -> None:
    """Logits of the reference alleles, what the others change, and by which filter.

    With the differences e_k of a factor's sum S_k and q of the sum of squares (thesis, eq. 2.3) a logit
    changes by ``W d + sum_k e_k (S_k + e_k / 2) - q / 2``.

    Parameters
    ----------
    ref, alt
        Pooled values (allele, filter), float32.
    logit_ref, delta
        (allele, cell_type) float32, filled.
    top
        Filled.
    """
    n_cell_types, n_factors, n_filters = head.vectors.shape
    columns = head.columns
    n_columns = columns.shape[1]
    first_square = n_cell_types * (1 + n_factors)
    sums, moved = np.empty(n_columns), np.empty(n_columns)
    of_ref, of_alt = np.empty(n_filters), np.empty(n_filters)
    for i in range(ref.shape[0]):
        sums[:] = 0
        moved[:] = 0
        for index in range(n_filters):
            value = np.float64(ref[i, index])
            if value != 0:
                for column in range(first_square):
                    sums[column] += value * columns[index, column]
                for column in range(first_square, n_columns):
                    sums[column] += value * value * columns[index, column]
            difference = np.float64(alt[i, index]) - value
            if difference != 0:
                square = difference * (2 * value + difference)
                for column in range(first_square):
                    moved[column] += difference * columns[index, column]
                for column in range(first_square, n_columns):
                    moved[column] += square * columns[index, column]
        best, largest = 0, -1.0
        for cell_type in range(n_cell_types):
            logit = head.bias[cell_type] + sums[cell_type]
            effect = moved[cell_type]
            if n_factors:
                logit -= 0.5 * sums[first_square + cell_type]
                effect -= 0.5 * moved[first_square + cell_type]
                at = n_cell_types + cell_type * n_factors
                for factor in range(at, at + n_factors):
                    logit += 0.5 * sums[factor] * sums[factor]
                    effect += moved[factor] * (sums[factor] + 0.5 * moved[factor])
            logit_ref[i, cell_type], delta[i, cell_type] = logit, effect
            if abs(effect) > largest:
                best, largest = cell_type, abs(effect)
        top.cell_type[i], top.filter[i], top.rises[i] = best, -1, 0
        top.ref[i] = top.alt[i] = 0
        # What each filter adds: its Shapley value, half of each of its interactions.
        of_ref[:] = 0
        of_alt[:] = 0
        at = n_cell_types + best * n_factors
        for factor in range(n_factors):
            before, after = sums[at + factor], sums[at + factor] + moved[at + factor]
            for index in range(n_filters):
                of_ref[index] += before * head.vectors[best, factor, index]
                of_alt[index] += after * head.vectors[best, factor, index]
        largest = -1.0
        for index in range(n_filters):
            if ref[i, index] == alt[i, index]:
                continue
            before, after = np.float64(ref[i, index]), np.float64(alt[i, index])
            length = head.lengths[best, index]
            added_ref = before * (head.weights[best, index] + 0.5 * (of_ref[index] - before * length))
            added_alt = after * (head.weights[best, index] + 0.5 * (of_alt[index] - after * length))
            if abs(added_alt - added_ref) > largest:
                largest = abs(added_alt - added_ref)
                top.filter[i], top.ref[i], top.alt[i] = index, added_ref, added_alt
                top.rises[i] = 1 if after > before else -1
