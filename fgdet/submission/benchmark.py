"""What a benchmark server asks of a submission."""

import re
from dataclasses import dataclass
from pathlib import Path

from fgdet.utils.checks import UserError

ALGORITHM = re.compile(r'[A-Za-z0-9][A-Za-z0-9.+-]*')


@dataclass(frozen=True)
class Benchmark:
    """The rules of one server.

    Args:
        name: how a message calls it.
        max_per_image: detections that the rules allow in an image, over all categories.
        test_sets: each test set's name with the name of its image-info file, without ``.json``, and its number of
            images; the first one is meant where nothing tells.
        stem: the documented name of the file, without its ending, of ``{test_set}`` and ``{algorithm}``.
        suffixes: the endings a file may have; ``.zip`` holds the JSON file alone, without a folder.
        named: whether the server looks at the name of the file.
        max_bytes: the largest file known to be taken.
        size_note: where that number is from, and what to do with a larger file.
    """

    name: str
    max_per_image: int
    test_sets: dict[str, tuple[str, int]]
    stem: str
    suffixes: tuple[str, ...]
    named: bool
    max_bytes: int
    size_note: str

    def file_stem(self, test_set: str, algorithm: str) -> str:
        """Return the documented name, without its ending."""
        return self.stem.format(test_set=test_set, algorithm=algorithm)

    def names_in(self, path: Path) -> tuple[str, str] | None:
        """Return the test set and the algorithm that a file's name tells, or None where it is another name."""
        for test_set in self.test_sets:
            found = re.fullmatch(re.escape(self.file_stem(test_set, '\0')).replace('\0', '(.+)'), path.stem)
            if found and ALGORITHM.fullmatch(found[1]):
                return test_set, found[1]
        return None

    def test_set_of(self, info_file: Path) -> str:
        """Return the test set of an image-info file by its name; the first one where it tells nothing."""
        for test_set, (stem, _) in self.test_sets.items():
            if info_file.stem == stem:
                return test_set
        return next(iter(self.test_sets))

    def check_names(self, test_set: str, algorithm: str) -> None:
        """Raise UserError where one of the two cannot stand in the file's name."""
        if test_set not in self.test_sets:
            raise UserError(f'test set {test_set!r}: {self.name} has {", ".join(self.test_sets)}')
        if not ALGORITHM.fullmatch(algorithm):
            raise UserError(f'algorithm {algorithm!r}: it becomes a part of a file name; use letters, digits, "-", "."')
