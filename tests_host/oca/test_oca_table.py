"""Is the table of OCA test cases in lib/ocpp16/README.md complete and true?"""

import re
from pathlib import Path

# The cases with a charge point as system under test (OCTT test case document, FINAL 2024-04); three of 023 are one.
CASES = """
001 002 003 004_1 004_2 005_1 005_2 005_3 007 008 010 011_1 011_2 012 013 014 015 016 017_1 017_2 018_1
018_2 019 021 023 024 026 027 028 030 031 032_1 032_2 034 036 037_1 037_2 037_3 038 039 040_1 040_2 041
042_1 042_2 043 043_1 043_2 043_3 044_1 044_2 044_3 045_1 045_2 046_1 046_2 047 048_1 048_2 048_3 048_4 049
050_1 050_2 050_3 050_4 051 052 053 054 055 056 057 058_1 058_2 059 060 061 062 066 067 068 069 070 071 072
073 074 075_1 075_2 076 077 078 079 080 081 082 083 084 085 086 087
""".split()
NUMBER = r"\b\d{3}(?:_\d)?\b"


def _tables(readme: str) -> tuple[list[str], list[str]]:
    """The numbers in the two tables of the section: those with a test, those without."""
    section = readme.split("\n## OCA test cases\n")[1].split("\n## ", maxsplit=1)[0]
    covered, missing = section.split("| not covered |")
    rows = [line.split("|")[2] for line in covered.splitlines() if line.startswith("| ")]
    reasons = [line.split("|")[1] for line in missing.splitlines() if line.startswith("| ")]
    return re.findall(NUMBER, " ".join(rows)), re.findall(NUMBER, " ".join(reasons))


def test_table_of_cases(root: Path) -> None:
    covered, missing = _tables((root / "lib/ocpp16/README.md").read_text(encoding="utf-8"))
    assert sorted(covered + missing) == sorted(CASES)
    tests = set()
    for path in (root / "tests_host/oca").glob("test_oca_*.py"):
        for number in re.findall(
            r"^async def test_tc_(\d{3}(?:_\d)?)_", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            tests.add(number if number in CASES else number[:3])
    assert tests == set(covered)
