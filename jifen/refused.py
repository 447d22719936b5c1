"""The answer of a command that is not carried out."""


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """A command that is not carried out; the sentence says why and what to do."""
