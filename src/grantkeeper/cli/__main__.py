"""``python -m grantkeeper.cli``, for where the console script is not on the path."""

from grantkeeper.cli.main import main

main()
