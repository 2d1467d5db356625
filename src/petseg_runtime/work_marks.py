"""Marks of work that has begun: those that are left tell where processes were killed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4


@dataclass(frozen=True)
class WorkMarks:
    """Marks in a folder that several machines see. A mark is an empty file.

    Attributes:
        folder: The folder.
        name: What the marks of this object begin with: letters and digits.
    """

    folder: Path
    name: str

    def left(self, work: str) -> int:
        """Counts the processes that began some work and did not end it.

        Args:
            work: The work: letters, digits and hyphens.

        Returns:
            Their number. Processes that are still at work count too.
        """
        return len(list(self.folder.glob(f"{self.name}.{work}.*")))

    @contextmanager
    def of(self, work: str) -> Iterator[None]:
        """Marks some work while the block runs. A process that is killed leaves the mark.

        Args:
            work: The work: letters, digits and hyphens.

        Yields:
            Nothing.

        Raises:
            OSError: If the mark cannot be written.
        """
        mark = self.folder / f"{self.name}.{work}.{uuid4().hex}"
        mark.touch(exist_ok=False)
        try:
            yield
        finally:
            mark.unlink(missing_ok=True)
