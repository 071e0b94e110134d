"""All scales of maps without gaps at once, and the gradient in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .products import Products, means_of_sums

Tensor = torch.Tensor


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
    exponent : float
        Moduli are raised to this power.
    """

    @staticmethod
    def forward(ctx: Any, fields: Tensor, levels: Sequence[Any], exponent: float) -> Tensor:
        n_batch, F, _ = fields.shape
        ctx.levels, ctx.exponent, ctx.kept = levels, exponent, []
        fields = levels[0].arranged(fields).permute(2, 0, 1).contiguous()
        sums, scales, moduli = [], [], fields.new_empty(*fields.shape, 0)
        for level in levels:
            wavelets = level.wavelets
            W = wavelets.times(fields).view(2, -1, *fields.shape)
            modulus = (W[0] * W[0]).addcmul_(W[1], W[1]).sqrt_()
            U = modulus if exponent == 1 else modulus**exponent
            moduli = torch.cat([moduli, U.permute(1, 2, 3, 0)], -1)
            products = Products(W, wavelets.times(moduli), wavelets.copies)
            sums += [U.sum(1).transpose(0, 1).reshape(-1, F), *products.sums()]
            scales.append((products.k, moduli.shape[-1], len(fields)))
            if ctx.needs_input_grad[0]:
                ctx.kept.append((W, modulus, products))
            if level is not levels[-1]:
                fields, moduli = (level.coarsener.times(x)[0] for x in (fields, moduli))
        ctx.sizes = [s.shape[1] for s in sums]
        to_means, ctx.to_sums = means_of_sums(tuple(scales), F, fields.dtype, fields.device)
        means = to_means @ torch.cat(sums, 1).T
        return means.view(len(means), n_batch, -1).transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        d_means = gradients[0].transpose(0, 1).flatten(1)
        d_sums = (ctx.to_sums @ d_means).T.contiguous().split(ctx.sizes, 1)
        d_fields: Any = None
        d_moduli: Any = None
        for j in reversed(range(len(ctx.levels))):
            level, (W, modulus, products) = ctx.levels[j], ctx.kept[j]
            L, _, n_batch, F = modulus.shape
            d_mean, *d_products = d_sums[7 * j : 7 * j + 7]
            dW, dY = products.gradient(d_products)
            d = level.wavelets.adjoint(dY)
            if level is not ctx.levels[-1]:
                d += level.coarsener.adjoint(d_moduli[None])
            d_moduli, dU = d[..., :-L], d[..., -L:].permute(3, 0, 1, 2)
            dU = dU + d_mean.view(n_batch, L, 1, F).transpose(0, 1).transpose(1, 2)
            if ctx.exponent != 1:
                dU *= ctx.exponent * _nonzero(modulus) ** (ctx.exponent - 1)
            d = level.wavelets.adjoint(dW.addcmul_(W, dU / _nonzero(modulus)).flatten(0, 1))
            d_fields = d if d_fields is None else d.add_(level.coarsener.adjoint(d_fields[None]))
        return ctx.levels[0].nested(d_fields.permute(1, 2, 0)), None, None


def _nonzero(modulus: Tensor) -> Tensor:
    """Modulus to divide by something that is zero where it is."""
    return modulus.clamp_min(torch.finfo(modulus.dtype).tiny ** 0.5)
