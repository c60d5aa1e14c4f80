"""The rules of the layout as functions from source text to findings, so that each can be shown to fail."""

import ast
import re
from collections.abc import Iterator

LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"compiled", "events", "schemas", "errors", "rejection"}),
    frozenset(
        {
            "agreement",
            "columns",
            "datasets",
            "drift",
            "estimates",
            "gates",
            "judges",
            "labels",
            "pairs",
            "replay",
            "replay_log",
            "reviewers",
            "rubrics",
            "sampling",
            "statistics",
        }
    ),
    frozenset({"avro_plan", "codec", "config", "outbox", "readiness", "reading", "topics", "writer_schema", "writing"}),
    frozenset({"processors"}),
    frozenset({"adapters"}),
    frozenset({"client", "console", "embedded", "notebook", "report", "streams", "testing", "trainers"}),
    frozenset({"cli", "commands", "demo", "__main__"}),
)
"""Rooms and modules of `trueloop`, innermost first. One may import from its own layer and from those before it."""

PURE = LAYERS[1] | {"processors"}
EXEMPT = frozenset({("trueloop.events.avro", "topics")})
"""Its command line, and nothing else in it, walks the registry of topics."""

CLIENTS = frozenset({"aiokafka", "chdb", "clickhouse_connect", "confluent_kafka", "faust", "torch", "transformers", "trl"})
CLIENT_ROOMS = frozenset({"adapters", "console", "demo", "embedded", "streams", "trainers"})
TRAINING = frozenset({"accelerate", "datasets", "peft", "torch", "transformers", "trl"})

IMPURE_MODULES = frozenset({
    "asyncio", "concurrent", "ctypes", "fcntl", "getpass", "glob", "http", "io", "locale", "logging", "multiprocessing", "os", "pathlib", "random",
    "secrets", "select", "selectors", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "urllib",
    "uuid",
})  # fmt: skip
IMPURE_CALLS = frozenset({"open", "input", "print", "exec", "eval", "breakpoint"})
IMPURE_ATTRIBUTES = frozenset({"now", "utcnow", "today", "default_rng"})

VAGUE = frozenset({"common", "helper", "helpers", "manager", "misc", "util", "utils"})
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 45

# In pieces, so that this file does not contain what it looks for.
_MACHINE = re.compile(r"(?<![\w.])/(?:" + "|".join(["root", r"home/\w+", r"Users/\w+", "work/" + "main", "tmp/" + "w"]) + r")/")
_INDEX = re.compile(
    "|".join(["pypi" + r"\.org", "python" + "hosted", "--" + r"(?:extra-)?index-url", "--" + "find-links", r"repo1?\." + "maven", r"registry\." + "npmjs"])
)


def layer_of(module: str) -> int | None:
    """Return the layer of `trueloop.room.module`; None when the room has none."""
    room = module.split(".")[1]
    return next((number for number, rooms in enumerate(LAYERS) if room in rooms), None)


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of every import, also those inside functions; not those that only a type checker sees."""
    tree = ast.parse(source)
    unseen = {id(inner) for node in ast.walk(tree) if _for_types_only(node) for statement in node.body for inner in ast.walk(statement)}
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # `from trueloop import topics` imports trueloop.topics, too.
            yield from ((node.lineno, "." * node.level + f"{node.module or ''}.{alias.name}") for alias in node.names)


def _for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def outward_imports(module: str, source: str) -> list[str]:
    """Return each import that points outwards, or into a room without a layer."""
    found = []
    layer = layer_of(module)
    if layer is None:
        return [f"{module}: its room has no place in LAYERS"]
    for line, name in imports(source):
        if name.startswith("."):
            found.append(f"{module}:{line}: relative import; write the full name")
        parts = name.split(".")
        if name == "trueloop" or parts[0] != "trueloop" or (module, parts[1]) in EXEMPT:
            continue
        target = layer_of(name)
        if target is None and parts[1] in {"__version__", "Client"}:
            continue
        if target is None or target > layer:
            found.append(f"{module}:{line}: imports {name}, which lies further out or nowhere")
    return found


def misplaced_clients(module: str, source: str) -> list[str]:
    """Return each import of a client library or of torch by a room that may not know it."""
    room = module.split(".")[1]
    forbidden = frozenset() if room in CLIENT_ROOMS else CLIENTS
    if room == "streams":
        forbidden |= TRAINING  # the workers' image has no torch
    if room == "trainers":
        forbidden |= CLIENTS - TRAINING - {"confluent_kafka"}  # a job takes minutes, so its worker holds its own consumer
    return [f"{module}:{line}: imports {name}" for line, name in imports(source) if name.split(".")[0] in forbidden]


def impurities(module: str, source: str) -> list[str]:
    """Return what makes a module depend on the clock, on chance or on the machine."""
    found = [f"{module}:{line}: imports {name}" for line, name in imports(source) if name.split(".")[0] in IMPURE_MODULES]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
            found.append(f"{module}:{node.lineno}: calls {node.func.id}()")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in IMPURE_ATTRIBUTES:
            found.append(f"{module}:{node.lineno}: calls {ast.unparse(node.func)}()")
        if isinstance(node, ast.Attribute) and node.attr == "random":
            found.append(f"{module}:{node.lineno}: uses {ast.unparse(node)}")
    return found


def oversized(module: str, source: str) -> list[str]:
    """Return the module, and each of its functions, that is longer than the layout allows."""
    lines = len(source.splitlines())
    found = [f"{module}: {lines} lines, expected at most {MAX_MODULE_LINES}"] if lines > MAX_MODULE_LINES else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                found.append(f"{module}:{node.lineno}: {node.name}() has {length} lines, expected at most {MAX_FUNCTION_LINES}")
    return found


def is_vague(stem: str) -> bool:
    """Return whether a file name says nothing of what is in the file."""
    return not VAGUE.isdisjoint(stem.lower().split("_"))


def addresses(name: str, text: str) -> list[str]:
    """Return each line that names a path of some machine or the address of a package index."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, what in ((_MACHINE, "a path of one machine"), (_INDEX, "the address of a package index")):
            match = pattern.search(line)
            if match:
                found.append(f"{name}:{number}: {match.group()!r} is {what}")
    return found
