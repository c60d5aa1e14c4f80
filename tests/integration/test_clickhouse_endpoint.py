"""The read-only endpoint against the real engine: what it answers, and that nothing gets past it."""

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import clickhouse_connect
import pytest

from trueloop.adapters.clickhouse.client import query
from trueloop.adapters.clickhouse.embedded_engine import EmbeddedEngine
from trueloop.adapters.clickhouse.endpoint import serving
from trueloop.adapters.clickhouse.engine import ClickHouseError
from trueloop.adapters.clickhouse.schema import ensure_schema
from trueloop.adapters.clickhouse.sql_command import run_sql
from trueloop.config import ClickHouseSettings, Settings
from trueloop.errors import ConfigurationError, UnavailableError

SECRET = "the secret of the house"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def secret_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("secret") / "secret.csv"
    path.write_text(SECRET + "\n")
    return path


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    found = Settings(clickhouse=ClickHouseSettings(url=f"http://127.0.0.1:{free_port()}", embedded=True))
    engine = EmbeddedEngine(tmp_path_factory.mktemp("clickhouse"), "trueloop")
    try:
        ensure_schema(engine)
        engine.execute("INSERT INTO erasures (event_id, application, subject_id) VALUES ('e1', 'a', 's1')")
        with serving(engine, found.clickhouse):
            yield found
    finally:
        engine.close()


class Reply:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode(errors="replace")


def ask(settings: Settings, sql: str = "", method: str = "POST", headers: dict | None = None, path: str = "/", **arguments: str) -> Reply:
    host = settings.clickhouse.url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=20)
    try:
        connection.request(method, f"{path}?{urlencode(arguments)}", body=sql.encode() if sql else None, headers=headers or {})
        return Reply(connection.getresponse())
    finally:
        connection.close()


HOSTILE = [
    "INSERT INTO erasures (event_id) VALUES ('x')",
    "INSERT INTO FUNCTION file('{out}') SELECT 1",
    "DROP TABLE erasures",
    "DROP DATABASE trueloop",
    "TRUNCATE TABLE erasures",
    "ALTER TABLE erasures DELETE WHERE 1",
    "DELETE FROM erasures WHERE 1",
    "OPTIMIZE TABLE erasures FINAL",
    "CREATE TABLE trueloop.x (a Int8) ENGINE = Memory",
    "CREATE TEMPORARY TABLE x (a Int8)",
    "CREATE DATABASE d ENGINE = Filesystem('/')",
    "CREATE FUNCTION f AS x -> x",
    "ATTACH TABLE erasures",
    "RENAME TABLE erasures TO gone",
    "GRANT ALL ON *.* TO default",
    "SYSTEM SHUTDOWN",
    "SYSTEM STOP MERGES",
    "KILL QUERY WHERE 1",
    "BACKUP DATABASE trueloop TO File('{out}')",
    "SET readonly = 0",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT 1 SETTINGS allow_ddl = 1",
    "SELECT 1; DROP TABLE erasures",
    "SELECT * FROM file('{secret}', 'LineAsString')",
    "SELECT * FROM file('{secret}')",
    "SELECT file('{secret}')",
    "SELECT `file`('{secret}')",
    "SELECT arrayMap(file, ['{secret}'])",
    "SELECT arrayMap(x -> file(x), ['{secret}'])",
    "SELECT * APPLY(file) FROM (SELECT '{secret}')",
    "WITH file('{secret}') AS x SELECT x",
    "SELECT * FROM (SELECT * FROM (SELECT file('{secret}')))",
    "SELECT count() FROM erasures WHERE event_id IN (SELECT file('{secret}'))",
    "EXPLAIN SELECT * FROM file('{secret}')",
    "DESCRIBE TABLE file('{secret}')",
    "DESCRIBE (SELECT * FROM file('{secret}'))",
    "SELECT * FROM '{secret}'",
    "SELECT * FROM `{secret}`",
    "SELECT * FROM default.`{secret}`",
    "DESCRIBE TABLE `{secret}`",
    "SELECT * FROM filesystem('/')",
    "SELECT * FROM fileCluster('c', '{secret}')",
    "SELECT * FROM url('http://127.0.0.1:1/x', 'LineAsString')",
    "SELECT * FROM url('http://127.0.0.1:1/x')",
    "DESCRIBE TABLE url('http://127.0.0.1:1/x')",
    "SELECT * FROM s3('http://127.0.0.1:1/bucket/x')",
    "SELECT * FROM remote('127.0.0.1:1', system.one)",
    "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM sqlite('{secret}', 't')",
    "SELECT * FROM executable('id', 'LineAsString', 'x String')",
    "SELECT * FROM Python(settings)",
    "SELECT * FROM merge('.*', '.*')",
    "SELECT 1 INTO OUTFILE '{out}'",
    "SELECT 1 INTO OUTFILE '{out}' APPEND FORMAT CSV",
    "SELECT '{secret}' /* */ INTO/**/OUTFILE '{out}'",
    "EXPLAIN SELECT 1 INTO OUTFILE '{out}'",
    "SHOW TABLES INTO OUTFILE '{out}'",
    "DESCRIBE TABLE erasures INTO OUTFILE '{out}'",
    "SHOW CREATE TABLE erasures INTO OUTFILE '{out}'",
    "SELECT sleep(3)",
    "USE system",
    "",
]


@pytest.mark.parametrize("sql", [sql for sql in HOSTILE if sql])
def test_nothing_gets_past_the_endpoint(settings: Settings, secret_file: Path, tmp_path: Path, sql: str):
    out = tmp_path / "out.csv"
    reply = ask(settings, sql.replace("{secret}", str(secret_file)).replace("{out}", str(out)))
    assert reply.status in (400, 403, 404), reply.text
    assert reply.headers["X-ClickHouse-Exception-Code"].isdigit()
    assert reply.text.startswith(f"Code: {reply.headers['X-ClickHouse-Exception-Code']}. DB::Exception: ")
    assert SECRET not in reply.text
    assert not out.exists()
    assert ask(settings, "SELECT count() FROM trueloop.erasures").text == "1\n"


def test_settings_in_the_url_change_nothing(settings: Settings):
    reply = ask(settings, "SELECT getSetting('readonly'), getSetting('max_result_bytes')", readonly="0", max_result_bytes="0", allow_ddl="1")
    assert reply.text == "1\t268435456\n"


def test_a_get_and_a_post_and_both_together(settings: Settings):
    assert ask(settings, method="GET", query="SELECT 1 AS a FORMAT JSONEachRow").text == '{"a":1}\n'
    assert ask(settings, "+ 1", query="SELECT 1").text == "2\n"
    assert ask(settings, "SELECT 1 AS a", default_format="JSONEachRow").text == '{"a":1}\n'
    assert ask(settings, "SELECT 1 AS a", headers={"X-ClickHouse-Format": "JSONEachRow"}).text == '{"a":1}\n'
    assert ask(settings, "SELECT count() FROM erasures", database="trueloop").text == "1\n"
    assert ask(settings, "SELECT count() > 0 FROM tables", database="system").text == "1\n"
    assert ask(settings, method="GET", path="/ping").text == "Ok.\n"


def test_headers_tell_what_a_server_tells(settings: Settings):
    reply = ask(settings, "SELECT 1 FORMAT JSON", query_id="my-query-1")
    assert reply.headers["X-ClickHouse-Format"] == "JSON"
    assert reply.headers["X-ClickHouse-Query-Id"] == "my-query-1"
    assert reply.headers["Content-Type"].startswith("application/json")
    assert json.loads(reply.headers["X-ClickHouse-Summary"])["read_rows"] == "1"


@pytest.mark.parametrize(("sql", "status", "code"), [("SELECT * FROM nowhere", 404, "60"), ("SELECT 1 +", 400, "62"), ("SELECT {x:UInt8}", 400, "456")])
def test_a_mistake_is_told_as_clickhouse_tells_it(settings: Settings, sql: str, status: int, code: str):
    reply = ask(settings, sql)
    assert (reply.status, reply.headers["X-ClickHouse-Exception-Code"]) == (status, code)
    assert "parseQuery" not in reply.text


def test_foreign_pages_are_refused(settings: Settings):
    port = settings.clickhouse.url.rpartition(":")[2]
    assert ask(settings, "SELECT 1", headers={"Host": f"evil.example:{port}"}).status == 421
    assert ask(settings, "SELECT 1", headers={"Origin": "http://evil.example"}).status == 403
    assert ask(settings, "SELECT 1", headers={"Origin": "null"}).status == 403
    assert ask(settings, "SELECT 1", headers={"Sec-Fetch-Site": "cross-site"}).status == 403
    assert ask(settings, "SELECT 1", headers={"Origin": f"http://127.0.0.1:{port}"}).status == 200
    assert ask(settings, "SELECT 1", headers={"Host": f"localhost:{port}"}).status == 200


def test_too_long_a_query_is_refused(settings: Settings):
    assert ask(settings, "SELECT 1 -- " + "x" * 2**20).status == 413


@pytest.mark.parametrize("url", ["http://0.0.0.0:18123", "http://10.0.0.1:18123", "https://127.0.0.1:18123", "http://127.0.0.1", "nonsense"])
def test_only_a_loopback_address_is_served(url: str):
    with pytest.raises(ConfigurationError, match=r"clickhouse\.url"), serving(None, ClickHouseSettings(url=url, embedded=True)):  # type: ignore[arg-type]
        pass


def test_a_taken_port_is_said(settings: Settings):
    with pytest.raises(UnavailableError, match="cannot listen"), serving(None, settings.clickhouse):  # type: ignore[arg-type]
        pass


def test_clickhouse_connect_works_unchanged(settings: Settings):
    client = clickhouse_connect.get_client(host="127.0.0.1", port=int(settings.clickhouse.url.rpartition(":")[2]), database="trueloop")
    text = "it's \\ {x} \t\n %s 漢字"
    assert client.query("SELECT {text:String} AS t, {n:Array(Int64)} AS n", parameters={"text": text, "n": [1, -2]}).result_rows == [(text, [1, -2])]
    assert client.query("SELECT %(text)s", parameters={"text": text}).result_rows == [(text,)]
    assert client.query("SELECT * FROM v_gates LIMIT 0").column_names[0] == "application"
    assert client.query_df("SELECT number FROM numbers(3)")["number"].tolist() == [0, 1, 2]
    assert client.query_arrow("SELECT number FROM numbers(3)").num_rows == 3
    assert sum(len(block) for block in client.query_row_block_stream("SELECT number FROM numbers(200000)").__enter__()) == 200_000
    with pytest.raises(clickhouse_connect.driver.exceptions.DatabaseError, match="READONLY"):
        client.command("DROP TABLE erasures")


def test_queries_run_beside_each_other(settings: Settings):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(lambda n: ask(settings, f"SELECT {n} + sum(number) * 0 FROM numbers(1000000)").text, range(48))) == [f"{n}\n" for n in range(48)]


def test_query_returns_columns_even_of_nothing(settings: Settings):
    answer = query(settings, "SELECT application, verdict FROM v_gates;")
    assert (answer.columns, answer.rows) == (("application", "verdict"), ())
    assert query(settings, "SELECT event_id FROM erasures WHERE application = {a:String}", {"a": "a"}).rows == (("e1",),)


def test_query_says_what_is_wrong(settings: Settings):
    with pytest.raises(ClickHouseError, match="UNKNOWN_TABLE"):
        query(settings, "SELECT * FROM nowhere")
    away = Settings(clickhouse=ClickHouseSettings(url=f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(UnavailableError, match="trueloop up"):
        query(away, "SELECT 1")


def test_the_sql_command(settings: Settings, capsys: pytest.CaptureFixture[str]):
    assert run_sql(settings, "SELECT 1 AS one, '[red]\x1b[2J' AS text, NULL AS nothing, [1.5] AS list") == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    for text in ("one", "[red]", "null", "[1.5]", "1 row"):
        assert text in printed
    assert run_sql(settings, "SELECT 1 AS a, 'ü' AS b, toDateTime64('2026-11-02 09:30:15.123456', 6, 'UTC') AS t", as_json=True) == 0
    assert capsys.readouterr().out == '{"a": 1, "b": "ü", "t": "2026-11-02 09:30:15.123456"}\n'
    assert run_sql(settings, "SELECT nowhere") == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("Code: 47.")
    assert output.err.count("\n") == 1
