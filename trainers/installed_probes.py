"""Probes that are installed: plug-ins of the entry point group `trueloop.probes`, each a function that returns a `ProbeSet`.

Only what is installed can be named; a policy that comes over the wire brings no prompts and no patterns.
"""

import logging
from importlib import metadata

from trueloop.gates.probes import Probe, ProbeSet, of_category

GROUP = "trueloop.probes"

_log = logging.getLogger(__name__)


def find_probes(category: str) -> dict[str, Probe]:
    """Return the installed probes of a category, by 'SET/ID'; none when there are no such, and then the category has no evidence.

    A set that cannot be loaded is left out and told of.
    """
    found = of_category(_sets(), category)
    if not found:
        _log.warning("no probes of category %r are installed; a gate that asks for them stays INCONCLUSIVE", category)
    return found


def _sets() -> list[ProbeSet]:
    found: list[ProbeSet] = []
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        try:
            given = entry.load()()
        except Exception as error:  # a plug-in may fail in any way; the other sets are asked all the same
            _log.warning("probes %r cannot be loaded: %s", entry.name, type(error).__name__)
            continue
        if isinstance(given, ProbeSet):
            found.append(given)
        else:
            _log.warning("probes %r are of type %s; expected a ProbeSet", entry.name, type(given).__name__)
    return found
