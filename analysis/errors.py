"""The one exception a reader of results can mend: its message is a whole sentence."""


class ResultsError(Exception):
    """A results folder that cannot be read or written. Scripts print its message alone and exit with 2.

    Its message is one line, whatever the files have in it: line breaks and control characters are escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message))
