"""What is wrong with a configuration: one record per fault, all of them raised together.

An operator who mends one error must not be shown the next: everything that can be checked is, and
the exception carries the whole list. The printed form is `file:line:column: what: what would be
right`, which editors jump to.
"""

from dataclasses import dataclass

from supervisord_asm.configuration.document import Mark

# More errors than this in one file say nothing new; a file of garbage would make millions.
ERRORS_PER_FILE_MAX = 100
MESSAGE_MAX = 400  # characters; keys and names are quoted, and a file may hold any


class Refusal(ValueError):
    """One value is not right; `hint` says what would be. The reader adds file, line and column."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}: {hint}")
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class ConfigurationError:
    """One fault. Line and column count from 1; 0 = not a place in a file."""

    file: str
    line: int
    column: int
    message: str
    hint: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message}: {self.hint}"


class ConfigurationErrors(Exception):
    """A configuration that must not be used: every fault found, by file, line and column."""

    def __init__(self, errors: list[ConfigurationError]) -> None:
        assert errors, "a refusal without a reason is a bug"
        files = list(dict.fromkeys(error.file for error in errors))
        # Stable: of two faults in one place the first found stays first.
        self.errors = tuple(
            sorted(errors, key=lambda error: (files.index(error.file), error.line, error.column))
        )
        super().__init__("\n".join(str(error) for error in self.errors))


class Report:
    """Collects the errors of one file."""

    __slots__ = ("errors", "file")

    def __init__(self, file: str) -> None:
        self.file = file
        self.errors: list[ConfigurationError] = []

    def add(self, mark: Mark, message: str, hint: str) -> None:
        """Note one fault; beyond ERRORS_PER_FILE_MAX only that there are more."""
        message = _printable(message)
        if len(self.errors) < ERRORS_PER_FILE_MAX:
            self.errors.append(ConfigurationError(self.file, mark.line, mark.column, message, hint))
        elif len(self.errors) == ERRORS_PER_FILE_MAX:
            self.errors.append(
                ConfigurationError(
                    self.file,
                    mark.line,
                    mark.column,
                    f"more than {ERRORS_PER_FILE_MAX} errors",
                    "mend those above first",
                )
            )


def _printable(text: str) -> str:
    """Spell out what a terminal would act on: messages quote the file."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text[:MESSAGE_MAX]
    )
