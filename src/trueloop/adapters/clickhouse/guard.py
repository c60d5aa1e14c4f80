"""Decides, from ClickHouse's own parse of a query, whether the read-only endpoint runs it.

A `readonly = 1` connection refuses writes, DDL, changed settings and most table functions, but not everything that reaches out of the
database: measured on chDB 26.9, it still runs `SELECT file('/etc/passwd')`, `INTO OUTFILE`, `DESCRIBE TABLE file(...)`, and opens the
connection of `url(...)` before it refuses. So what reads is let through by kind, table functions by name, and the scalar functions that
reach out are refused wherever their name stands: `arrayMap(file, ...)` and `* APPLY(file)` name them without calling them.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from trueloop.adapters.clickhouse import ddl
from trueloop.adapters.clickhouse.embedded_engine import Reader
from trueloop.adapters.clickhouse.engine import ClickHouseError

READING = frozenset({"SelectWithUnionQuery", "SelectQuery", "SelectIntersectExceptQuery", "ExplainQuery", "ShowTablesQuery"})
TABLE_FUNCTIONS = frozenset({
    "numbers", "numbers_mt", "zeros", "zeros_mt", "generate_series", "generateseries", "primes", "values", "sqlstandardvalues", "null", "view",
})  # fmt: skip
REACHING_OUT = frozenset({
    "file", "catboostevaluate", "reversednsquery", "sleep", "sleepeachrow", "getclienthttpheader", "showcertificate",
    "aifilter", "aisimilarity", "aiclassify", "aiembed", "aiextract", "aigenerate", "airedact", "aitranslate",
})  # fmt: skip
"""Functions that read files, ask other machines, or hold a thread, in lower case."""

_PARAMETER = re.compile(r"\{\w+:\w")
_IDENTIFIER = r"(?:\w+|`(?:[^`\\]|\\.)+`)"
_TELLING = re.compile(
    rf"(?:DESCRIBE TABLE|EXISTS(?: TABLE| VIEW| DATABASE)?|SHOW CREATE(?: TABLE| VIEW| DATABASE)?) {_IDENTIFIER}(?:\.{_IDENTIFIER})?(?: FORMAT (\w+))?"
    r"|SHOW PROCESSLIST(?: FORMAT (\w+))?",
)
"""Statements that tell of tables and that ClickHouse's JSON form of a query does not cover, in its canonical spelling."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """A query that may run; `output_format` is the one it names itself."""

    output_format: str | None


def check(reader: Reader, sql: str) -> Allowed:
    """Return what is known of a query that only reads. Raises ClickHouseError for any other, and for what is no query at all."""
    parameters = {"query": _escape(sql)}
    canonical = _scalar(reader, "SELECT formatQuerySingleLine({query:String})", parameters)
    telling = _TELLING.fullmatch(canonical)
    if telling:
        return Allowed(telling[1] or telling[2])
    try:
        tree = json.loads(_scalar(reader, "SELECT parseQueryToJSON({query:String})", parameters))
    except RecursionError:
        raise _refused("it is nested too deeply") from None
    except ClickHouseError as error:
        if error.name != "BAD_ARGUMENTS":
            raise
        raise _refused("statements of this kind are not for reading") from None
    if tree.get("type") not in READING:
        raise ClickHouseError(f"Code: 164. DB::Exception: Cannot execute {tree.get('type')} in readonly mode. (READONLY)")
    _check_nodes(tree)
    return Allowed((tree.get("format_ast") or {}).get("name"))


def _check_nodes(tree: dict[str, Any]) -> None:
    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            _check_node(node)
            waiting.extend(node.values())


def _check_node(node: dict[str, Any]) -> None:
    if node.get("out_file"):
        raise ClickHouseError("Code: 348. DB::Exception: INTO OUTFILE is not allowed. (INTO_OUTFILE_NOT_ALLOWED)")
    function = node.get("table_function")
    if function and str(function.get("name", "")).lower() not in TABLE_FUNCTIONS | _views_with_parameters():
        raise _refused(f"table function {function.get('name')!r} is not allowed")
    if node.get("type") == "Literal":
        return
    for key, value in node.items():
        if key != "alias" and isinstance(value, str) and value.lower() in REACHING_OUT:
            raise _refused(f"function {value!r} is not allowed, nor is a column of that name")


@cache
def _views_with_parameters() -> frozenset[str]:
    """Return our views that are read like table functions: what they may read is fixed, parameters are values."""
    return frozenset(name for name, statement in ddl.views().items() if _PARAMETER.search(statement))


def _refused(why: str) -> ClickHouseError:
    return ClickHouseError(f"Code: 164. DB::Exception: Cannot execute query in readonly mode: {why}. (READONLY)")


def _scalar(reader: Reader, question: str, parameters: dict[str, str]) -> str:
    try:
        return str(reader.query(question, "TSVRaw", parameters).bytes().decode().removesuffix("\n"))
    except ClickHouseError as error:
        # ClickHouse names our question around the query too; whoever asked should see only his own.
        text = str(error).partition(": In scope SELECT formatQuery")[0].partition(": In scope SELECT parseQuery")[0].removesuffix(f" ({error.name})")
        raise ClickHouseError(f"{text} ({error.name})") from None


def _escape(text: str) -> str:
    """Return text as the value of a query parameter, which ClickHouse reads with escapes."""
    return text.translate({0: "\\0", 8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 92: "\\\\"})
