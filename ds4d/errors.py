"""The only error that a person is shown."""


class UserError(Exception):
    """Something the user can mend: one plain sentence, and a hint on what to do about it."""

    def __init__(self, sentence: str, hint: str = ""):
        super().__init__(sentence, hint)
        self.sentence = sentence
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.sentence} {self.hint}".strip()
