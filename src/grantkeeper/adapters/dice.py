"""Randomness from the operating system."""

import os
import random


class SystemDice:
    """The `Dice` port: unpredictable where it must be, and quick where it need not."""

    def roll(self) -> float:
        return random.random()  # noqa: S311 - jitter hides nothing

    def bytes(self, count: int) -> bytes:
        return os.urandom(count)
