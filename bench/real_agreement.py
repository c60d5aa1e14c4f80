"""`make bench-real`: how far PandaLM's three annotators agree, per pair of models, with intervals; and beside it, what a bare number would have said.

Prints, and writes bench/results/real_agreement.md. The data are not part of the repository: `--data` names the file, by default that beside it.
"""

import argparse
import gzip
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from trueloop.report.wording import estimate
from trueloop.statistics import gwet_ac1, krippendorff_alpha, observed_agreement

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "shared" / "data" / "pandalm_3_annotators.a.jsonl.gz"
CATEGORIES = (0, 1, 2)
"""A tie, the first response, the second."""
Rating = tuple[str, str, int]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="PandaLM's test set, JSON lines, gzipped")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "real_agreement.md")
    options = parser.parse_args()
    if not options.data.exists():
        parser.error(f"{options.data} is not there; name PandaLM's test set, gzipped JSON lines, with --data")
    with gzip.open(options.data, "rt", encoding="utf-8") as lines:
        text = render(table(map(json.loads, lines)))
    print(text)
    options.out.write_text(text, encoding="utf-8")


def ratings_by_pair(rows: Iterable[dict[str, Any]]) -> dict[str, list[Rating]]:
    """Return pair of models -> one rating per item and annotator; 'all' has every pair. Items whose two responses are the same say nothing."""
    found: dict[str, list[Rating]] = {"all": []}
    for number, row in enumerate(rows):
        if str(row["response1"]) != str(row["response2"]):
            given = [(f"item-{number}", f"annotator-{place}", int(row[f"annotator{place}"])) for place in (1, 2, 3)]
            found["all"] += given
            found.setdefault(str(row["cmp_key"]), []).extend(given)
    return found


def table(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row per pair of models: observed agreement, nominal alpha and AC1, each with its interval."""
    found = []
    for pair, ratings in sorted(ratings_by_pair(rows).items()):
        columns = tuple([rating[place] for rating in ratings] for place in range(3))
        measured = {
            "p_o": observed_agreement(*columns),
            "alpha": krippendorff_alpha(*columns, categories=CATEGORIES),
            "ac1": gwet_ac1(*columns, categories=CATEGORIES),
        }
        ties = Counter(value for _, _, value in ratings)[0] / len(ratings)
        found.append({"pair": pair, "items": measured["p_o"].n, "ties": ties, **measured})
    return found


def render(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table as Markdown."""
    lines = [
        "# Agreement of PandaLM's three annotators",
        "",
        "By `make bench-real`: part a of PandaLM's test set (Wang et al. 2023, arXiv 2306.05087; Apache-2.0). Each item was judged by three people: the first",
        "response, the second, or a tie; items whose two responses are the same are left out. 95 % intervals; items are what was sampled. With fewer than 20",
        "items there is no interval.",
        "",
        "| models | items | ties | observed agreement | Krippendorff's alpha, nominal | Gwet's AC1 |",
        "|---|---:|---:|---|---|---|",
    ]
    for row in rows:
        cells = (_cell(row[name]) for name in ("p_o", "alpha", "ac1"))
        lines.append(f"| {row['pair'].replace('_', ' / ')} | {row['items']} | {row['ties']:.0%} | {' | '.join(cells)} |")
    whole, pairs = (row for row in rows if row["pair"] == "all"), [row for row in rows if row["pair"] != "all"]
    alpha = next(whole)["alpha"]
    apart = [row["pair"].replace("_", " / ") for row in pairs if _apart(row["alpha"].interval, alpha.value)]
    lines += [
        "",
        f"Pairs whose interval of alpha leaves out the alpha of all pairs together: {', '.join(apart) if apart else 'none'}. One in twenty would by chance.",
    ]
    return "\n".join(lines) + "\n"


def _apart(interval: tuple[float, float] | None, value: float | None) -> bool:
    return interval is not None and value is not None and not interval[0] <= value <= interval[1]


def _cell(found: Any) -> str:
    reason = None if found.undefined is None else found.undefined.value
    return estimate({"value": found.value, "low": found.ci_low, "high": found.ci_high, "reason": reason})


if __name__ == "__main__":
    main()
