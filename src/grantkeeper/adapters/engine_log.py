"""What engines say of runs that broke the rule to end by returning or by `Suspended`."""

import logging
from pathlib import Path
from traceback import extract_tb

LOG = logging.getLogger("grantkeeper.jobs")


def escaped(job_id: str, error: BaseException) -> None:
    """
    An error left a run, and the job stays suspended; or its end could not be written yet. Somebody must look.

    Its kind and place are logged, never its text: that may quote a user's data.
    """
    frames = extract_tb(error.__traceback__)[-1:]
    where = "".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
    ids = {"job": job_id, "exception": type(error).__name__, "where": where}
    words = ["job.escaped", *(f"{name}={value}" for name, value in ids.items())]
    LOG.error(" ".join(words), extra={"event": "job.escaped", "ids": ids})
