"""New fields with given statistics, and inverse problems."""
