"""grantkeeper inside a Python program: the keeper on a loop thread of its own, or at the end of a wire."""
