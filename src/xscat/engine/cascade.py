"""All scales of maps without gaps at once, and the gradient in closed form."""

from __future__ import annotations

from typing import Any

import torch

from .operators import Operator
from .products import Products

Tensor = torch.Tensor


class Cascade(torch.autograd.Function):
    """Means over all cells: of each scale in turn, of moduli and of products of all columns.

    Parameters
    ----------
    fields : (cells, batch, F) tensor
        Maps.
    steps : list of (Operator, Operator or None)
        Per scale the wavelets, first all real and then all imaginary parts, and the way to the
        next scale.
    exponent : float
        Moduli are raised to this power.

    Returns
    -------
    (l, batch, F) and (batch l, N), alternately
        N as `Products.gram` has it.
    """

    @staticmethod
    def forward(
        ctx: Any, fields: Tensor, steps: list[tuple[Operator, Operator | None]], exponent: float
    ) -> tuple[Tensor, ...]:
        ctx.steps, ctx.exponent, ctx.kept = steps, exponent, []
        results, moduli = [], fields.new_empty(*fields.shape, 0)
        for wavelets, coarsener in steps:
            W = wavelets.times(fields).view(2, -1, *fields.shape)
            modulus = (W[0] * W[0]).addcmul_(W[1], W[1]).sqrt_()
            U = modulus if exponent == 1 else modulus**exponent
            moduli = torch.cat([moduli, U.permute(1, 2, 3, 0)], -1)
            products = Products(W, wavelets.times(moduli), wavelets.copies)
            results += [U.mean(1), products.gram() / len(fields)]
            if ctx.needs_input_grad[0]:
                ctx.kept.append((W, modulus, products))
            if coarsener is not None:
                fields, moduli = coarsener.times(fields)[0], coarsener.times(moduli)[0]
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        d_fields = d_moduli = None
        for j in reversed(range(len(ctx.steps))):
            (wavelets, coarsener), (W, modulus, products) = ctx.steps[j], ctx.kept[j]
            L, n = modulus.shape[:2]
            dW, dY = products.gradient(gradients[2 * j + 1] / n)
            d = wavelets.adjoint(dY)
            if coarsener is not None:
                d += coarsener.adjoint(d_moduli[None])
            d_moduli, dU = d[..., :-L], d[..., -L:].permute(3, 0, 1, 2)
            over = (dU + gradients[2 * j][:, None] / n) / _nonzero(modulus)
            if ctx.exponent != 1:
                over *= ctx.exponent * _nonzero(modulus) ** (ctx.exponent - 1)
            d = wavelets.adjoint(dW.addcmul_(W, over).flatten(0, 1))
            d_fields = d if coarsener is None else d.add_(coarsener.adjoint(d_fields[None]))
        return d_fields, None, None


def _nonzero(modulus: Tensor) -> Tensor:
    """Modulus to divide by something that is zero where it is."""
    return modulus.clamp_min(torch.finfo(modulus.dtype).tiny ** 0.5)
