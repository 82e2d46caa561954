"""Dice that fall the same way in every run."""

import random


class SeededDice:
    """The `Dice` port, predictable: for tests and nothing else."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - predictable on purpose

    def roll(self) -> float:
        return self._random.random()

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)
