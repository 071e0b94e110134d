"""The numerical engine: tensors in, tensors out."""
