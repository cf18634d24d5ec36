"""The command line: parse arguments, call, render; nothing else."""

import gc


def main() -> None:
    """Run the console script `reconciler`."""
    # Importing makes tens of thousands of objects that stay; looking through them for garbage would cost 15 % of it.
    gc.set_threshold(100_000, 50, 50)
    # The commands are imported here, so that a module of theirs can be imported alone.
    from reconciler.cli.app import app  # noqa: PLC0415  only the console script pays for every command

    app(prog_name="reconciler")
