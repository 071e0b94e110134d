"""All scales of maps without gaps at once, and the gradient in closed form."""

from __future__ import annotations

from typing import Any

import torch

from .operators import Operator
from .products import Products, means_of_sums

Tensor = torch.Tensor


class Cascade(torch.autograd.Function):
    """Means over all cells of moduli and of products of all columns: (batch, N, l).

    Their order is that of `means_of_sums`.

    Parameters
    ----------
    fields : (cells, batch, F) tensor
        Maps.
    steps : list of (Operator, Operator or None)
        Per scale the wavelets, first all real and then all imaginary parts, and the way to the
        next scale.
    exponent : float
        Moduli are raised to this power.
    """

    @staticmethod
    def forward(
        ctx: Any, fields: Tensor, steps: list[tuple[Operator, Operator | None]], exponent: float
    ) -> Tensor:
        _, n_batch, F = fields.shape
        ctx.steps, ctx.exponent, ctx.kept = steps, exponent, []
        sums, scales, moduli = [], [], fields.new_empty(*fields.shape, 0)
        for wavelets, coarsener in steps:
            W = wavelets.times(fields).view(2, -1, *fields.shape)
            modulus = (W[0] * W[0]).addcmul_(W[1], W[1]).sqrt_()
            U = modulus if exponent == 1 else modulus**exponent
            moduli = torch.cat([moduli, U.permute(1, 2, 3, 0)], -1)
            products = Products(W, wavelets.times(moduli), wavelets.copies)
            sums += [U.sum(1).transpose(0, 1).reshape(-1, F), *products.sums()]
            scales.append((products.k, moduli.shape[-1], len(fields)))
            if ctx.needs_input_grad[0]:
                ctx.kept.append((W, modulus, products))
            if coarsener is not None:
                fields, moduli = coarsener.times(fields)[0], coarsener.times(moduli)[0]
        ctx.sizes = [s.shape[1] for s in sums]
        to_means, ctx.to_sums = means_of_sums(tuple(scales), F, fields.dtype, fields.device)
        means = to_means @ torch.cat(sums, 1).T
        return means.view(len(means), n_batch, -1).transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        d_means = gradients[0].transpose(0, 1).flatten(1)
        d_sums = (ctx.to_sums @ d_means).T.contiguous().split(ctx.sizes, 1)
        d_fields = d_moduli = None
        for j in reversed(range(len(ctx.steps))):
            (wavelets, coarsener), (W, modulus, products) = ctx.steps[j], ctx.kept[j]
            L, _, n_batch, F = modulus.shape
            d_mean, *d_products = d_sums[7 * j : 7 * j + 7]
            dW, dY = products.gradient(d_products)
            d = wavelets.adjoint(dY)
            if coarsener is not None:
                d += coarsener.adjoint(d_moduli[None])
            d_moduli, dU = d[..., :-L], d[..., -L:].permute(3, 0, 1, 2)
            dU = dU + d_mean.view(n_batch, L, 1, F).transpose(0, 1).transpose(1, 2)
            if ctx.exponent != 1:
                dU *= ctx.exponent * _nonzero(modulus) ** (ctx.exponent - 1)
            d = wavelets.adjoint(dW.addcmul_(W, dU / _nonzero(modulus)).flatten(0, 1))
            d_fields = d if coarsener is None else d.add_(coarsener.adjoint(d_fields[None]))
        return d_fields, None, None


def _nonzero(modulus: Tensor) -> Tensor:
    """Modulus to divide by something that is zero where it is."""
    return modulus.clamp_min(torch.finfo(modulus.dtype).tiny ** 0.5)
