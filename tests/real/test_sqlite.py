# SPDX-License-Identifier: Apache-2.0
"""sqlite3: transactions, write-ahead log, integrity_check. Same answers as natively, and a database that the native program
reads as its own; also one whose writer was killed."""
import pytest

from conftest import FULL, SIZE, assert_same, execute, once

SQLITE = "/usr/bin/sqlite3"

SCRIPT = """
PRAGMA journal_mode = %(journal)s;
CREATE TABLE account(id INTEGER PRIMARY KEY, owner TEXT UNIQUE, balance INTEGER CHECK(balance >= 0));
CREATE TABLE log(id INTEGER PRIMARY KEY AUTOINCREMENT, account REFERENCES account, amount INTEGER);
CREATE INDEX by_account ON log(account, amount);
CREATE TRIGGER book AFTER UPDATE OF balance ON account BEGIN
  INSERT INTO log(account, amount) VALUES(new.id, new.balance - old.balance);
END;
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %(rows)d)
  INSERT INTO account SELECT i, printf('owner %%05d', i), 1000 FROM n;
COMMIT;
BEGIN; UPDATE account SET balance = balance - 400 WHERE id %% 3 = 0; UPDATE account SET balance = balance + 100 WHERE id %% 5 = 0;
COMMIT;
BEGIN; UPDATE account SET balance = 0; ROLLBACK;
SAVEPOINT a; DELETE FROM account WHERE id < 100; SAVEPOINT b; DELETE FROM log; ROLLBACK TO b; RELEASE a;
BEGIN IMMEDIATE; INSERT OR IGNORE INTO account VALUES(1, 'owner 00200', 5); COMMIT;
SELECT count(*), sum(balance), min(balance), max(balance) FROM account;
SELECT count(*), sum(amount) FROM log;
SELECT owner, balance, (SELECT count(*) FROM log WHERE account = account.id) FROM account WHERE id BETWEEN 100 AND 130;
SELECT json_group_array(balance) FROM (SELECT DISTINCT balance FROM account ORDER BY 1);
SELECT id, sum(amount) OVER (ORDER BY id ROWS 3 PRECEDING) FROM log LIMIT 20;
CREATE VIRTUAL TABLE text USING fts5(body);
INSERT INTO text SELECT owner || ' has ' || balance FROM account;
SELECT count(*) FROM text WHERE text MATCH '600';
PRAGMA wal_checkpoint(TRUNCATE);
DELETE FROM account WHERE id %% 2 = 0;
VACUUM;
PRAGMA integrity_check;
PRAGMA foreign_key_check;
SELECT sqlite_version() <> '', total_changes() > 0;
"""


def dump(database):
    done = execute([SQLITE, database, ".dump", "PRAGMA integrity_check;"])
    assert done.status == 0 and done.stdout.endswith(b"ok\n"), done
    return done.stdout


@pytest.mark.parametrize("journal", ["WAL", "DELETE", "TRUNCATE", "MEMORY"] if FULL else ["WAL"])
def test_script(vigil, tmp_path, journal):
    script = (SCRIPT % {"journal": journal, "rows": 20000 if FULL else 2000}).encode()
    native = execute([SQLITE, "-bail", tmp_path / "native.db"], stdin=script, env=vigil.env)
    assert native.status == 0 and b"\nok\n" in native.stdout, native
    assert_same(vigil.run(SQLITE, "-bail", tmp_path / "inside.db", stdin=script, options=SIZE), native)
    assert native.stdout.startswith(journal.lower().encode())
    assert dump(tmp_path / "inside.db") == dump(tmp_path / "native.db")
    # And the other way round: a database that was written natively.
    assert_same(vigil.run(SQLITE, tmp_path / "native.db", ".dump", options=SIZE), execute([SQLITE, tmp_path / "native.db", ".dump"]))


@once
def test_in_memory(vigil):
    script = (SCRIPT % {"journal": "MEMORY", "rows": 5000}).encode()
    vigil.compare(SQLITE, "-bail", ":memory:", stdin=script, options=SIZE)


@once
@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_killed_while_it_writes(vigil, tmp_path, journal):
    """What was committed is there, what was not is not, whoever recovers it."""
    database = tmp_path / "killed.db"
    script = ("PRAGMA journal_mode = %s; CREATE TABLE t(a); INSERT INTO t VALUES(1); BEGIN;\n"
              "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) INSERT INTO t SELECT i FROM n;\n"
              "PRAGMA cache_size = 10; UPDATE t SET a = a + 1;\n.print written\n" % journal).encode()
    with vigil.start(SQLITE, database, options=SIZE, stdin=-1) as running:
        running.stdin.write(script)
        running.stdin.flush()
        seen = b""
        while b"written" not in seen:
            piece = running.stdout.readline()
            assert piece, running.stderr.read()
            seen += piece
        running.kill()
    copy = tmp_path / "copy.db"
    for suffix in ("", "-wal", "-journal", "-shm"):
        if (tmp_path / ("killed.db" + suffix)).exists():
            (tmp_path / ("copy.db" + suffix)).write_bytes((tmp_path / ("killed.db" + suffix)).read_bytes())
    query = "SELECT count(*), max(a) FROM t; PRAGMA integrity_check;"
    natively = execute([SQLITE, copy, query])
    assert natively.stdout == b"1|1\nok\n", natively
    assert_same(vigil.run(SQLITE, database, query, options=SIZE), natively)


PYTHON = """
import sqlite3, sys, threading
db = sqlite3.connect(sys.argv[1], check_same_thread=False)
print(db.execute("PRAGMA journal_mode = WAL").fetchone())
db.executescript("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, data BLOB); CREATE INDEX i ON t(name);")
with db:
    db.executemany("INSERT INTO t(name, data) VALUES(?, ?)", (("name %d" % (i % 100), bytes([i % 256]) * i) for i in range(1000)))
try:
    with db:
        db.execute("DELETE FROM t")
        raise KeyError("undone")
except KeyError as why:
    print(why, db.total_changes)
db.create_function("backwards", 1, lambda text: text[::-1])
db.create_aggregate("longest", 1, type("Longest", (), {"__init__": lambda self: setattr(self, "n", 0),
                    "step": lambda self, x: setattr(self, "n", max(self.n, len(x))), "finalize": lambda self: self.n}))
print(db.execute("SELECT backwards(name), longest(data), count(*) FROM t GROUP BY name ORDER BY name LIMIT 5").fetchall())
def writer(number):
    mine = sqlite3.connect(sys.argv[1], timeout=60)
    for i in range(20):
        with mine:
            mine.execute("INSERT INTO t(name) VALUES(?)", ("thread %d" % number,))
    mine.close()
threads = [threading.Thread(target=writer, args=(number,)) for number in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(db.execute("SELECT name, count(*) FROM t WHERE name LIKE 'thread%' GROUP BY name").fetchall())
copy = sqlite3.connect(":memory:")
db.backup(copy)
print(copy.execute("SELECT count(*), sum(length(data)) FROM t").fetchone(), list(copy.iterdump())[1][:40])
print(copy.execute("PRAGMA integrity_check").fetchall())
try:
    db.execute("SELECT no_such_thing")
except sqlite3.OperationalError as why:
    print(why)
"""


@once
def test_python_module(vigil, tmp_path):
    """In the place of test_sqlite3, which Debian does not package."""
    native = execute(["/usr/bin/python3", "-c", PYTHON, tmp_path / "native.db"], env=vigil.env)
    assert native.status == 0 and b"('ok',)" in native.stdout, native
    assert_same(vigil.run("/usr/bin/python3", "-c", PYTHON, tmp_path / "inside.db", options=SIZE), native)
