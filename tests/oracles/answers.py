"""What independent libraries say of tables of ratings. Runs in the environment of the oracles, which has no trueloop: tables in, answers out, as JSON.

`krippendorff` (Castro 2017) for alpha; `irrCAC` (Gwet's own, ported) for AC1, AC2, Fleiss' kappa and their standard errors, and for Conger's
kappa, which is Cohen's when there are two raters.
"""

import json
import sys
import warnings

LEVELS = ("nominal", "ordinal", "interval", "ratio")
WEIGHTS = ("identity", "ordinal", "linear", "quadratic", "ratio")


def answer(question):
    """Return the coefficients of one table: one row per unit, one column per rater, null for a missing rating."""
    import pandas as pd
    from irrCAC.raw import CAC

    table, categories = pd.DataFrame(question["table"], dtype=float), question["categories"]
    found = {f"alpha {level}": alpha(table, level) for level in LEVELS}
    for weights in WEIGHTS:
        cac = CAC(table, weights=weights, categories=categories, digits=14)
        found[f"gwet {weights}"] = estimate(cac.gwet())
        found[f"krippendorff {weights}"] = estimate(cac.krippendorff())
        if weights == "identity":
            found["fleiss identity"] = estimate(cac.fleiss())
        if table.shape[1] == 2 and not table.isna().any(axis=None):
            found[f"cohen {weights}"] = estimate(cac.conger())
    return found


def alpha(table, level):
    import krippendorff

    return float(krippendorff.alpha(reliability_data=table.to_numpy().T, level_of_measurement=level))


def estimate(answered):
    return {"value": float(answered["est"]["coefficient_value"]), "std_error": float(answered["est"]["se"])}


if __name__ == "__main__":  # the libraries are imported above where they are used: our own environment, which lacks them, can read this file
    warnings.simplefilter("ignore")
    json.dump([answer(question) for question in json.load(sys.stdin)], sys.stdout)
