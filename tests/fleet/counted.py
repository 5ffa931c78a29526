"""The checks of a program that tests figures: counted, and at its end the line "N passed, N failed"."""

import sys
import tempfile

counts = {"passed": 0, "failed": 0}


def equal(name, got, want):
    counts["passed" if got == want else "failed"] += 1
    print(f"ok {name}" if got == want else f"not ok {name}\n    got {got!r}, expected {want!r}")


def file_of(text):
    """A file with this text, whose name is the result."""
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write(text)
    return file.name


def finish():
    """Exit 0 only if something was checked, and nothing failed."""
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    sys.exit(0 if counts["failed"] == 0 and counts["passed"] > 0 else 1)
