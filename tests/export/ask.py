"""Answers the questions on standard input, a JSON array of SQL, each with a line: a JSON array of rows."""

import json
import sys

import duckdb

connection = duckdb.connect(
    config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
)
for question in json.load(sys.stdin):
    question = question.strip().rstrip(";")
    first = next(line for line in question.splitlines() if not line.startswith("--"))
    if first.split()[0] in ("SELECT", "WITH", "DESCRIBE"):
        rows = connection.sql(f"SELECT to_json(row) FROM ({question}) row").fetchall()
        print(json.dumps([json.loads(row) for (row,) in rows]))
    else:
        connection.execute(question)
        print("[]")
