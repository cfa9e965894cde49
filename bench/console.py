"""Where the benchmarks print: on a terminal as wide as it is, into a file so wide that no table is cut off."""

from rich.console import Console

WIDTH_OF_FILES = 140


def make_console() -> Console:
    """A console on standard output."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH_OF_FILES)
