"""What goes wrong on the user's side of a command."""


class InputError(ValueError):
    """Bad input: one line that names the file or argument, the rule and what came.

    The commands print it without a traceback and leave with exit code 1.
    """
