"""The only error that a person is shown, and how a stage says that its time is up."""


class UserError(Exception):
    """Something the user can mend: one plain sentence, and a hint on what to do about it."""

    def __init__(self, sentence: str, hint: str = ""):
        super().__init__(sentence, hint)
        self.sentence = sentence
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.sentence} {self.hint}".strip()


class Paused(Exception):
    """A stage has saved its state when its time was up; the same call goes on from there."""
