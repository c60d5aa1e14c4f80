"""`make operating-characteristics`: what the statistics declare, and what simulations of them give.

Runs the long simulations of agreement, reviewers, estimates and drift, which fail where a declared rate is not kept, and writes the tables that
they print to bench/results/operating_characteristics.md.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

from machine import machine

MODULES = {
    "Agreement: coverage of the intervals": "tests/unit/test_agreement_coverage.py",
    "Reviewers: attacks, quarantine, gold and drift": "tests/unit/test_reviewers_simulation.py",
    "Estimates: bias and coverage under active sampling": "tests/unit/test_estimates_simulation.py",
    "Drift: false alarms, coverage and discoveries": "tests/unit/test_drift_contract.py",
}
OUT = Path("bench/results/operating_characteristics.md")
NOISE = re.compile(r"^[.FEsx]+( +\[ *\d+%\])?$|^\.?$|^\d+ (passed|failed|deselected).*$")
"""Lines of pytest's own."""


def main() -> None:
    """Run the modules one after the other, print their tables, and write them. Ends with 1 when a simulation does not keep what is declared."""
    parts, failed = [f"# What the statistics declare, and what simulations give\n\nBy `make operating-characteristics`. {machine()}"], []
    for title, module in MODULES.items():
        begun = time.monotonic()
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-s", "-m", "long", "--tb=line", module], capture_output=True, text=True, check=False)
        lines = [line.removeprefix(".") for line in done.stdout.splitlines() if not NOISE.match(line)]
        verdict = "kept" if done.returncode == 0 else "NOT kept, see below"
        text = "\n".join(lines).strip()
        parts.append(f"## {title}\n\n`pytest -s -m long {module}`: {verdict}, {time.monotonic() - begun:.0f} s.\n\n```\n{text}\n```")
        print(parts[-1], flush=True)
        failed += [module] * (done.returncode != 0)
    OUT.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(f"written to {OUT}")
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
