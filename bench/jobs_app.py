"""The jobs that are measured: three steps that do nothing, and one that says when it began."""

import time

from grantkeeper import JobContext, job


@job()
async def three_steps(ctx: JobContext) -> int:
    """Nothing, in three recorded steps."""
    return await ctx.step(one) + await ctx.step(two) + await ctx.step(three)


@job()
async def began_at(ctx: JobContext) -> float:
    """Seconds since 1970, as soon as the function is entered."""
    return time.time()


async def one() -> int:
    return 1


async def two() -> int:
    return 2


async def three() -> int:
    return 3
