"""The exceptions of the package that callers are expected to handle."""


class UserError(Exception):
    """A problem that the user can solve: one plain sentence, and a hint on how to solve it.

    It is the only error whose text is shown to users.
    """

    def __init__(self, sentence: str, hint: str = ""):
        super().__init__(sentence, hint)
        self.sentence = sentence
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.sentence} {self.hint}".strip()


class Paused(Exception):
    """A stage has saved its state because its time was up; the same call continues from there."""
