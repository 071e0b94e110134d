"""All scales of maps without gaps at once, and the gradient in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .products import Products, means_of_sums

Tensor = torch.Tensor


class _Scale:
    """One scale of a cascade.

    Parameters
    ----------
    state : (cells, batch, F, C) tensor
        Of each field itself and, with a second layer, the moduli of finer scales.
    """

    def __init__(self, level: Any, state: Tensor, second_layer: bool, exponent: float):
        self.wavelets, self.exponent, self.second_layer = level.wavelets, exponent, second_layer
        W = self.wavelets.times(state[..., 0])
        self.W = W.view(2, -1, *state.shape[:-1])
        real, imag = self.W.unbind()
        self.modulus = (real * real).addcmul_(imag, imag).sqrt_()
        U = self.modulus if exponent == 1 else self.modulus**exponent
        self.columns = torch.cat([state, U.permute(1, 2, 3, 0)], -1) if second_layer else state
        Y = self.wavelets.times(self.columns) if second_layer else W[..., None]
        self.products = Products(Y, self.wavelets.copies)
        self.sums = [U.sum(1).transpose(0, 1).flatten(0, 1), *self.products.sums()]
        """Sums over cells, each (batch l, n), in the order of `means_of_sums`."""
        self.key = self.products.k, Y.shape[-1], len(state)

    def gradient(self, d_sums: Sequence[Tensor], d_columns: Tensor | None) -> Tensor:
        """Gradient to the state, given those to the sums and, from the coarser scale, columns."""
        L, _, n_batch, F = self.modulus.shape
        dU, dY = (
            d_sums[0].view(n_batch, L, 1, F).permute(1, 2, 0, 3),
            self.products.gradient(d_sums[1:]),
        )
        if self.second_layer:
            d = self.wavelets.adjoint(dY)
            d = d if d_columns is None else d.add_(d_columns)
            d, dU = d[..., :-L], dU + d[..., -L:].permute(3, 0, 1, 2)
        nonzero = self.modulus.clamp_min(torch.finfo(dU.dtype).tiny ** 0.5)
        if self.exponent != 1:
            dU = dU * self.exponent * nonzero ** (self.exponent - 1)
        dW = self.W * (dU / nonzero)
        if self.second_layer:
            d[..., 0] += self.wavelets.adjoint(dW.flatten(0, 1))
            return d
        d = self.wavelets.adjoint(dY.view_as(dW).add_(dW).flatten(0, 1))[..., None]
        return d if d_columns is None else d.add_(d_columns)


class Cascade(torch.autograd.Function):
    """Means over all cells of moduli and of products of all columns: (batch, N, l).

    Their order is that of `means_of_sums`.

    Parameters
    ----------
    fields : (batch, F, cells) tensor
        Maps.
    levels : list
        Per scale its operators: ``wavelets``, first all real and then all imaginary parts, and
        ``coarsener``, the way to the next scale.
    second_layer : bool
        Whether products of filtered moduli are wanted.
    exponent : float
        Moduli are raised to this power.
    """

    @staticmethod
    def forward(
        ctx: Any, fields: Tensor, levels: Sequence[Any], second_layer: bool, exponent: float
    ) -> Tensor:
        n_batch, F, _ = fields.shape
        state = levels[0].arranged(fields).permute(2, 0, 1).contiguous()[..., None]
        scales: list[_Scale] = []
        for level in levels:
            scales.append(_Scale(level, state, second_layer, exponent))
            if level is not levels[-1]:
                state = level.coarsener.times(scales[-1].columns)[0]
        sums = [s for scale in scales for s in scale.sums]
        keys = tuple(scale.key for scale in scales)
        to_means, to_sums = means_of_sums(keys, F, fields.dtype, fields.device)
        if ctx.needs_input_grad[0]:
            ctx.levels, ctx.scales, ctx.to_sums = levels, scales, to_sums
        means = to_means @ torch.cat(sums, 1).T
        return means.view(len(means), n_batch, -1).transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        sizes = [s.shape[1] for scale in ctx.scales for s in scale.sums]
        d_sums = (ctx.to_sums @ gradients[0].transpose(0, 1).flatten(1)).T.contiguous()
        parts = list(d_sums.split(sizes, 1))
        d: Any = None
        for level, scale in zip(reversed(ctx.levels), reversed(ctx.scales), strict=True):
            d = None if d is None else level.coarsener.adjoint(d[None])
            n = len(scale.sums)
            d = scale.gradient(parts[-n:], d)
            del parts[-n:]
        return ctx.levels[0].nested(d[..., 0].permute(1, 2, 0)), None, None, None
