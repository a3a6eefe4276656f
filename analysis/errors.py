"""The one exception a reader of results can mend: its message is a whole sentence."""


class ResultsError(Exception):
    """A results folder that cannot be read or written. Scripts print its message alone and exit with 2."""
