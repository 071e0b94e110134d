"""All scales of maps without gaps at once, and the gradient in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .products import Powers, Products, means_of_sums

Tensor = torch.Tensor


class _Scale:
    """One scale of a cascade: fields (cells, batch, F) and the moduli of finer scales.

    Parameters
    ----------
    moduli : (cells, batch, F, C) tensor, optional
        None if products of filtered moduli are not wanted.
    """

    def __init__(self, level: Any, fields: Tensor, moduli: Tensor | None, exponent: float):
        self.wavelets, self.exponent = level.wavelets, exponent
        self.W = self.wavelets.times(fields).view(2, -1, *fields.shape)
        self.modulus = (self.W[0] * self.W[0]).addcmul_(self.W[1], self.W[1]).sqrt_()
        U = self.modulus if exponent == 1 else self.modulus**exponent
        self.powers, self.moduli = Powers(self.W), moduli
        self.sums = [U.sum(1).transpose(0, 1).flatten(0, 1), self.powers.sums()]
        """Sums over cells, each (batch l, n), in the order of `means_of_sums`."""
        self.key = 1, 0, len(fields)
        if moduli is not None:
            self.moduli = torch.cat([moduli, U.permute(1, 2, 3, 0)], -1)
            Y = self.wavelets.times(self.moduli)
            self.products = Products(self.W, Y, self.wavelets.copies)
            self.sums += self.products.sums()
            self.key = self.products.k, Y.shape[-1], len(fields)

    def gradient(
        self, d_sums: Sequence[Tensor], d_fields: Tensor | None, d_moduli: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Gradients to the fields and moduli, given those to the sums and from coarser scales."""
        L, _, n_batch, F = self.modulus.shape
        dW = self.powers.gradient(d_sums[1])
        dU = d_sums[0].view(n_batch, L, 1, F).permute(1, 2, 0, 3)
        if self.moduli is not None:
            first, dY = self.products.gradient(d_sums[2:])
            dW = first.add_(dW)
            d = self.wavelets.adjoint(dY)
            d = d if d_moduli is None else d.add_(d_moduli)
            d_moduli, dU = d[..., :-L], dU + d[..., -L:].permute(3, 0, 1, 2)
        nonzero = self.modulus.clamp_min(torch.finfo(dU.dtype).tiny ** 0.5)
        if self.exponent != 1:
            dU = dU * self.exponent * nonzero ** (self.exponent - 1)
        dW = torch.addcmul(dW, self.W, dU / nonzero)
        d = self.wavelets.adjoint(dW.flatten(0, 1))
        return d if d_fields is None else d.add_(d_fields), d_moduli


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
        fields = levels[0].arranged(fields).permute(2, 0, 1).contiguous()
        moduli = fields.new_empty(*fields.shape, 0) if second_layer else None
        scales: list[_Scale] = []
        for level in levels:
            scales.append(_Scale(level, fields, moduli, exponent))
            moduli = scales[-1].moduli
            if level is not levels[-1]:
                fields = level.coarsener.times(fields)[0]
                moduli = None if moduli is None else level.coarsener.times(moduli)[0]
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
        d_fields: Any = None
        d_moduli: Any = None
        for level, scale in zip(reversed(ctx.levels), reversed(ctx.scales), strict=True):
            if d_fields is not None:
                d_fields = level.coarsener.adjoint(d_fields[None])
                d_moduli = None if d_moduli is None else level.coarsener.adjoint(d_moduli[None])
            n = len(scale.sums)
            d_fields, d_moduli = scale.gradient(parts[-n:], d_fields, d_moduli)
            del parts[-n:]
        return ctx.levels[0].nested(d_fields.permute(1, 2, 0)), None, None, None
