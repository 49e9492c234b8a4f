"""The one exception for what a user can mend."""


class InputError(ValueError):
    """Something given from outside is wrong: a file, an annotation, a config value, a checkpoint.

    The message is one line: what is wrong, in which file and item, how to mend it. The command line prints it and
    exits with status 2; as a `ValueError` it is also what library callers expect.
    """
