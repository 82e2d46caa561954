"""``python -m grantkeeper.testing.race [PART …] [--nodes N] [--json]``: races grantkeeper itself."""

import argparse
import sys

from grantkeeper.testing.race import PARTS, Race, Sizes
from grantkeeper.testing.race.ours import Grantkeeper


def main() -> int:
    """Race, and tell; 1 if a defect was shown."""
    parser = argparse.ArgumentParser(prog="python -m grantkeeper.testing.race", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}; default all")
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--grants", type=int, default=Sizes().grants)
    parser.add_argument("--requests", type=int, default=Sizes().requests)
    parser.add_argument(
        "--lease", type=float, help="stall a node for so many seconds, to see who overtakes it"
    )
    parser.add_argument("--json", action="store_true", help="tell it to a program")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.parts if name not in PARTS]
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}")
    sizes = Sizes(grants=chosen.grants, requests=chosen.requests, lease=chosen.lease)
    outcome = Race(Grantkeeper(), nodes=chosen.nodes, sizes=sizes, seed=chosen.seed).run(
        chosen.parts or tuple(PARTS)
    )
    print(outcome.json() if chosen.json else outcome.table())
    return 1 if outcome.shown else 0


if __name__ == "__main__":
    sys.exit(main())
