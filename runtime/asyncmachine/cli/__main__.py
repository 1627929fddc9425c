"""``am-node``, and ``python -m asyncmachine.cli``: says what to install when something is missing."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    try:
        from asyncmachine.cli.main import main as run  # noqa: PLC0415 - it may be missing what it needs

        run()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("click", "rich"):
            raise
        sys.exit(f"am-node needs {missing}, which is not installed: pip install 'asyncmachine[cli]'")


if __name__ == "__main__":
    main()
