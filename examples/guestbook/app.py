"""A guest book: entries are kept in PostgreSQL. GET / lists them, POST / adds the body as one."""
import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2

CA_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
LONGEST_ENTRY = 1000


class Book:
    """One connection, made again where the server went away in between."""

    def __init__(self):
        self.lock = threading.Lock()
        self.connection = None

    def connect(self):
        self.connection = psycopg2.connect(
            host=os.environ["DB_HOST"], port=os.environ["DB_PORT"], dbname=os.environ["DB_NAME"],
            user=os.environ["DB_USER"], password=os.environ["DB_PASSWORD"],
            sslmode="verify-full", sslrootcert=CA_FILE, connect_timeout=5)
        self.connection.autocommit = True
        with self.connection.cursor() as cursor:
            cursor.execute("CREATE TABLE IF NOT EXISTS entries (id bigserial PRIMARY KEY, text text NOT NULL, "
                           "written timestamptz NOT NULL DEFAULT now())")

    def run(self, sql, values=()):
        with self.lock:
            for attempt in (1, 2):
                try:
                    if self.connection is None:
                        self.connect()
                    with self.connection.cursor() as cursor:
                        cursor.execute(sql, values)
                        return cursor.fetchall() if cursor.description else []
                except (psycopg2.OperationalError, psycopg2.InterfaceError):
                    self.connection = None
                    if attempt == 2:
                        raise

    def add(self, text):
        return self.run("INSERT INTO entries (text) VALUES (%s) RETURNING id", (text,))[0][0]

    def entries(self):
        return [text for (text,) in self.run("SELECT text FROM entries ORDER BY id DESC LIMIT 100")]


BOOK = Book()


class Guestbook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, document):
        body = (json.dumps(document) + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def guarded(self, act):
        try:
            act()
        except psycopg2.Error as error:
            print(f"database: {error}", file=sys.stderr, flush=True)
            self.answer(503, {"error": "the database does not answer"})

    def do_GET(self):
        if self.path == "/ready":
            return self.guarded(lambda: self.answer(200, {"ready": BOOK.run("SELECT 1") == [(1,)]}))
        self.guarded(lambda: self.answer(200, {"commit": os.environ.get("COMMIT", ""), "entries": BOOK.entries()}))

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if not 0 < length <= LONGEST_ENTRY:
            self.close_connection = True
            return self.answer(400, {"error": f"an entry has 1 to {LONGEST_ENTRY} bytes"})
        text = self.rfile.read(length).decode("utf-8", "replace")
        self.guarded(lambda: self.answer(201, {"id": BOOK.add(text)}))

    def log_message(self, format, *args):
        print(f"{self.command} {self.path} {args[1] if len(args) > 1 else ''}", flush=True)


def main():
    server = ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8080"))), Guestbook)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"listening on {server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
