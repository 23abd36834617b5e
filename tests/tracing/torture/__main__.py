"""`python -m tests.tracing.torture`: which cases are right, which are replayed, and why the others are not.

python -m tests.tracing.torture                    the table
python -m tests.tracing.torture 'while_*' -v       some cases, each with the whole difference and `str(tj.explain(f))`
"""

from __future__ import annotations

import argparse
import fnmatch
import re
import sys

from tests.tracing.torture.harness import Case, Outcome, load, outcome


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tracing.torture", description=__doc__)
    parser.add_argument("names", nargs="*", default=["*"], help="cases, as shell patterns")
    parser.add_argument("-v", "--verbose", action="store_true", help="differences and explanations")
    options = parser.parse_args()
    cases = [case for case in load().values() if _is_asked_for(case, options.names)]
    print("case | replayed | reason")
    outcomes = [_shown(case, options.verbose) for case in cases]
    wrong = [found for found, case in zip(outcomes, cases) if found.difference and not case.known]
    replayed = sum(found.replayed > 0 for found in outcomes)
    known = sum(bool(case.known) for case in cases)
    print(
        f"{len(cases)} cases: {replayed} replayed, {len(cases) - replayed} not, {len(wrong)} WRONG, {known} known to be wrong; "
        f"{sum(found.replayed for found in outcomes)} of {sum(found.calls for found in outcomes)} calls replayed"
    )
    return 1 if wrong or not cases else 0


def _is_asked_for(case: Case, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(case.name, pattern) for pattern in patterns)


def _shown(case: Case, verbose: bool) -> Outcome:
    found = outcome(case.name)
    verdict = (
        "WRONG: " if found.difference else "fixed, but marked as known: " if case.known else ""
    )
    if found.difference and case.known:
        verdict = "known: "
    why = verdict + (case.known or re.sub(r"/\S*/", "", found.reason))
    print(f"{case.name} | {found.replayed} of {found.calls} | {why}", flush=True)
    if verbose:
        print(found.difference, *found.explained, sep="\n")
    return found


if __name__ == "__main__":
    sys.exit(main())
