"""New fields with given statistics, and inverse problems."""

from .fields import synthesize
from .inverse import denoise, inpaint, separate

__all__ = ["denoise", "inpaint", "separate", "synthesize"]
