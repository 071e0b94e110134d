"""What wavelets do not see of a field: statistics that are matched besides theirs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import sparse

from ..engine.operators import Operator
from ..grids import Grid
from .harmonic import edges
from .spectrum import Spectrum

Array = np.ndarray[Any, np.dtype[Any]]
Tensor = torch.Tensor

_POWER_ERROR = 0.1  # relative, at least
_DIFFERENCE_ERROR = 0.1  # relative
_SHAPE_ERROR = 0.05


class Rest:
    """(Φ(u) - Φ) / σ of statistics of what no wavelet sees.

    They are the power of waves beyond the reach of the wavelets, in third octaves; on a sphere that
    of the shortest waves by repeated differences; and the skewness and kurtosis of the values.

    Parameters
    ----------
    own, of_target : Spectrum
        On the grid of u, and on that of the target.
    target : tensor (1, cells)
        0 where it is missing.
    differences : Differences, optional
        On a sphere.
    shape : bool
        Whether skewness and kurtosis are among them.
    """

    def __init__(
        self,
        own: Spectrum,
        of_target: Spectrum,
        target: Tensor,
        differences: Differences | None = None,
        shape: bool = True,
    ):
        _, a, b = np.intersect1d(own.numbers, of_target.numbers, return_indices=True)
        power = of_target(target)[0, b].double()
        usable = (power > 0).cpu().numpy()
        self.spectrum, self.bins, self.shape = own, a[usable], shape
        self.differences = differences
        self.power = power[usable]
        """(bins,) of the target."""
        self.k = own.k[self.bins]
        error = np.maximum(_POWER_ERROR, np.sqrt(2 / own.n_modes[self.bins]))
        # what is far below the power at the Nyquist frequency is as good as nothing
        least = 1e-3 * self.power[torch.as_tensor(self.k <= own.nyquist)][-1:].sum()
        wanted = [self.power]
        sigma = [self.power * torch.as_tensor(error, device=power.device) + least]
        if differences is not None:
            wanted.append(differences(target)[0].double())
            sigma.append(_DIFFERENCE_ERROR * wanted[-1])
        if shape:
            wanted.append(shape_of(target, of_target.weights)[0].double())
            sigma.append(_SHAPE_ERROR * (1 + wanted[-1].abs()))
        self.wanted, self.sigma = torch.cat(wanted), torch.cat(sigma)

    def __len__(self) -> int:
        return len(self.wanted)

    def __call__(self, fields: Tensor, together: bool) -> Tensor:
        """Residuals (statistics, B) of fields (B, cells), or (statistics, 1) of their mean."""
        parts = [self.spectrum(fields)[:, self.bins]]
        if self.differences is not None:
            parts.append(self.differences(fields))
        if self.shape:
            parts.append(shape_of(fields, self.spectrum.weights))
        found = torch.cat(parts, 1).double()
        found = found.mean(0, keepdim=True) if together else found
        return ((found - self.wanted) / self.sigma).T


class Differences:
    """Power <(D^n u)²> (B, 3), n = 1, 2, 3, D u: a cell minus the mean of its neighbors.

    The finest wavelets respond to all of the last octave; this tells its end from its beginning.
    """

    def __init__(self, grid: Grid, valid: Array, like: Tensor):
        rows, columns = edges(grid, periodic=False)
        use = valid[rows] & valid[columns]
        rows, columns = rows[use], columns[use]
        n = len(valid)
        degree = np.bincount(rows, minlength=n)
        weights = -1 / degree[rows]
        matrix = sparse.eye_array(n) + sparse.csr_array((weights, (rows, columns)), (n, n))
        self.operator = Operator(matrix.tocsr(), dtype=like.dtype, device=like.device)
        self.weights = torch.as_tensor(degree == degree.max(), dtype=like.dtype, device=like.device)

    def __call__(self, fields: Tensor) -> Tensor:
        x, power = fields.T.contiguous(), []
        for _ in range(3):
            x = self.operator(x)[0]
            power.append((x * x).T @ self.weights)
        return torch.stack(power, -1) / self.weights.sum()


def shape_of(fields: Tensor, weights: Tensor) -> Tensor:
    """Skewness <x³>/<x²>^1.5 and kurtosis <x⁴>/<x²>² (B, 2), x = u - <u>, of fields (B, cells)."""
    total = weights.sum()
    x = (fields - (fields @ weights / total)[:, None]) * weights
    variance, third, fourth = ((x**n).sum(-1) / total for n in (2, 3, 4))
    return torch.stack([third / variance**1.5, fourth / variance**2], -1)
