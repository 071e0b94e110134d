"""New fields with given statistics, and inverse problems."""

from .fields import synthesize

__all__ = ["synthesize"]
