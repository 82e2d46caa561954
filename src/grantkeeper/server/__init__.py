"""The service: the keeper's core behind HTTP (design section 3)."""
