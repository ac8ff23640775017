"""`portfoliod` and `python -m portfoliod`: a command, and the exit code that tells how it ended."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from portfoliod.cli import cli
from portfoliod.errors import PortfoliodError

INTERRUPTED = 130


def main() -> NoReturn:
    """Run a command and exit with its code; expected errors are printed, not raised."""
    try:
        code = cli.main(standalone_mode=False)
    except PortfoliodError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except BaseExceptionGroup as group:
        expected = _expected(group)
        if expected is None:
            raise
        _complain(str(expected))
        sys.exit(expected.exit_code)
    except click.Abort:
        _complain("interrupted")
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        _complain(
            f"{error.strerror or error}\n  --> {error.filename or ''}\n  mend   mend the folder or its permissions"
        )
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _expected(group: BaseExceptionGroup[BaseException]) -> PortfoliodError | None:
    """Return the expected error that ended a task group, None where something else did."""
    _, rest = group.split(PortfoliodError)
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if rest is None and isinstance(error, PortfoliodError) else None


def _complain(text: str) -> None:
    click.secho("error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(text, err=True)


if __name__ == "__main__":
    main()
