"""``am-gen``, and ``python -m amgen``: says what to install when the compiler's libraries are missing."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    try:
        from amgen.cli.main import main as run  # noqa: PLC0415 - it may be missing what it needs

        run()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("click", "jinja2", "yaml"):
            raise
        sys.exit(f"am-gen needs {missing}, which is not installed: pip install 'asyncmachine[gen]'")


if __name__ == "__main__":
    main()
