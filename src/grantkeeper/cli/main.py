"""
Where `grantkeeper` begins: which commands there are, and how they end.

The modules of commands are light; what is heavy they import when they run.
"""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

import grantkeeper
from grantkeeper.cli import callers, grants, jobs, jobs_fan_out, jobs_run, keys, panic, setup, use
from grantkeeper.cli.backup import backup, restore
from grantkeeper.cli.common import USAGE, complain, exit_status
from grantkeeper.cli.demo import demo
from grantkeeper.cli.doctor import doctor
from grantkeeper.errors import GrantkeeperError

app = App(
    name="grantkeeper",
    help="Sign users in with Google once, and call Google's APIs for them for years.",
    help_epilogue="Exit status: 0 ok, 1 failed, 2 usage, 3 consent needed, 4 unavailable. "
    "Results go to standard output, all else to standard error.",
    version=grantkeeper.__version__,
    # Our texts have no markup; looking for some loads a Markdown parser.
    help_format="plaintext",
    # A list is what was said, no --empty-… beside it.
    default_parameter=Parameter(negative_iterable=()),
)

_grants = App(name="grants", help="List, show and end grants.")
_callers = App(name="callers", help="Make and end the keys of backends that may ask the service.")
_jobs = App(name="jobs", help="Work on offline jobs, look at them, end them, and let them go on.")
_panic = App(name="panic", help="Revoke many grants at once, and prove what came of it.")

_keys = App(name="keys", help="List, change and prove the keys that seal the database.")

app.command(setup.init)
app.command(setup.migrate)
app.command(setup.serve)
app.command(use.redeem)
app.command(use.preflight)
app.command(use.token)
app.command(_grants)
app.command(_callers)
app.command(_jobs)
app.command(_panic)
app.command(_keys)
app.command(backup)
app.command(restore)
app.command(doctor)
app.command(setup.emulator)
app.command(demo)

_grants.command(grants.list_grants, name="list")
_grants.command(grants.show)
_grants.command(grants.revoke)
_grants.command(grants.forget)

_callers.command(callers.create)
_callers.command(callers.list_callers, name="list")
_callers.command(callers.change)
_callers.command(callers.revoke)

_jobs.command(jobs.list_jobs, name="list")
_jobs.command(jobs.show)
_jobs.command(jobs.retry)
_jobs.command(jobs.cancel)
_jobs.command(jobs_fan_out.fan_out)
_jobs.command(jobs_run.run)

_panic.default(panic.panic)
_panic.command(panic.verify)

_keys.command(keys.list_keys, name="list")
_keys.command(keys.rotate)
_keys.command(keys.rewrap)
_keys.command(keys.prove)
_keys.command(keys.drop)
_keys.command(keys.wrap)
_keys.command(keys.unwrap)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; what it exits with."""
    as_json = "--json" in arguments
    try:
        status = app(list(arguments), print_error=False, exit_on_error=False, result_action="return_value")
    except CycloptsError as error:
        # The sentence of the parser, in our manner; its boxes are for terminals only.
        print(f"grantkeeper: {_plain(error)}", file=sys.stderr)
        print("hint: grantkeeper COMMAND --help lists what it takes", file=sys.stderr)
        return USAGE
    except GrantkeeperError as error:
        complain(error, as_json=as_json)
        return exit_status(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has left; say nothing more to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status if isinstance(status, int) else 0


def _plain(error: CycloptsError) -> str:
    if isinstance(error, UnusedCliTokensError):
        # It may be a code or a key, given where none belongs.
        return "that is more than the command takes; a secret comes on standard input or in a file"
    return " ".join(str(error).split())


def main() -> NoReturn:
    """The console script."""
    sys.exit(run(sys.argv[1:]))
