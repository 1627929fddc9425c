"""``python -m amgen``."""

from amgen.cli import main

main()
