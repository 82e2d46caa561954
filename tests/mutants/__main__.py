"""``python -m tests.mutants NAME ARGUMENT…``: the command `grantkeeper ARGUMENT…` with a mutant in it."""

import sys

from grantkeeper.cli.main import run
from tests.mutants import mutant, replace_in

if __name__ == "__main__":
    mutant(sys.argv[1]).mutate(replace_in)
    sys.exit(run(sys.argv[2:]))
