"""`grantkeeper demo`: the main job, played before one's eyes."""

import tempfile
from pathlib import Path

from grantkeeper.cli.common import FAILED, HUMAN, OK, Manner, answer, hint, say
from grantkeeper.errors import SettingsInvalid


def demo(*, keep: bool = False, report: str = "grantkeeper-demo.html", manner: Manner = HUMAN) -> int:
    """
    Play the whole story: a phone signs in, its user leaves, and a backend improves photos meanwhile.

    Parameters
    ----------
    keep
        Leave emulator, service, the photo app and a web page running afterwards, to sign in by hand.
    report
        The file for the photos before and after, side by side: a page of its own.
    """
    try:
        import dbos  # noqa: F401
        import googleapiclient  # noqa: F401
        import PIL  # noqa: F401
    except ImportError:
        raise SettingsInvalid(
            ["the demo needs Google's API client, an engine for jobs and an imaging library"],
            hint="Run: pip install 'grantkeeper[demo]'",
        ) from None
    from grantkeeper.demo.stage import Stage
    from grantkeeper.demo.story import play
    from grantkeeper.demo.telling import NotAsTold, Teller

    with tempfile.TemporaryDirectory(prefix="grantkeeper-demo-") as folder:
        try:
            with Stage(Path(folder)) as stage:
                teller = Teller(stderr=manner.json)
                play(stage, teller, report)
                teller.end("That is the main job: one sign-in, and a backend that works for its user.")
                if keep:
                    from grantkeeper.demo.web import serve

                    say("everything stays up until you press Ctrl-C")
                    serve(stage)
        except NotAsTold as error:
            say(f"not as told: {error}")
            hint("This is a defect of grantkeeper; please report it with the lines above.")
            return FAILED
    if manner.json:
        answer({"steps": teller.steps, "as_told": True})
    return OK
