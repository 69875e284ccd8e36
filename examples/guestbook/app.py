"""A guest book: entries are kept in PostgreSQL, photos in a bucket.

GET / lists the entries, POST / adds the body as one, DELETE / empties the book for whoever knows the moderator's token.
PUT /photos/<name> and GET /photos/<name> keep and give photos.
"""
import datetime
import hashlib
import hmac
import json
import os
import re
import signal
import ssl
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2

CA_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
LONGEST_ENTRY = 1000
LARGEST_PHOTO = 5 << 20
PHOTO = re.compile(r"/photos/([A-Za-z0-9_.-]{1,100})")


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

    def clear(self):
        return len(self.run("DELETE FROM entries RETURNING id"))

    def entries(self):
        return [text for (text,) in self.run("SELECT text FROM entries ORDER BY id DESC LIMIT 100")]


class Photos:
    """A bucket of the S3 API; requests are signed with AWS Signature Version 4."""

    def __init__(self):
        self.context = ssl.create_default_context(cafile=CA_FILE if os.path.exists(CA_FILE) else None)

    def request(self, method, name, body=b""):
        url = urllib.parse.urlsplit(f"{os.environ['S3_ENDPOINT']}/{os.environ['S3_BUCKET']}/{name}")
        stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(body).hexdigest()
        scope = f"{stamp[:8]}/{os.environ['S3_REGION']}/s3/aws4_request"
        signed = "host;x-amz-content-sha256;x-amz-date"
        canonical = (f"{method}\n{url.path}\n\nhost:{url.netloc}\nx-amz-content-sha256:{digest}\n"
                     f"x-amz-date:{stamp}\n\n{signed}\n{digest}")
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = ("AWS4" + os.environ["S3_SECRET"]).encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        request = urllib.request.Request(url.geturl(), data=body or None, method=method, headers={
            "x-amz-date": stamp, "x-amz-content-sha256": digest, "Content-Type": "application/octet-stream",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={os.environ['S3_KEY_ID']}/{scope}, "
                             f"SignedHeaders={signed}, Signature={signature}"})
        with urllib.request.urlopen(request, context=self.context, timeout=30) as answer:
            return answer.read(LARGEST_PHOTO + 1)


BOOK = Book()
PHOTOS = Photos()


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

    def photo(self, method, body=b""):
        name = PHOTO.fullmatch(self.path)
        if not name:
            return self.answer(404, {"error": "a photo is at /photos/<name>"})
        try:
            content = PHOTOS.request(method, name[1], body)
        except urllib.error.HTTPError as error:
            return self.answer(404 if error.code == 404 else 502, {"error": f"the bucket answered {error.code}"})
        except OSError as error:
            print(f"bucket: {error}", file=sys.stderr, flush=True)
            return self.answer(503, {"error": "the bucket does not answer"})
        if method == "PUT":
            return self.answer(201, {"photo": name[1]})
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_PUT(self):
        length = int(self.headers.get("Content-Length", 0))
        if not 0 < length <= LARGEST_PHOTO:
            self.close_connection = True
            return self.answer(400, {"error": f"a photo has 1 to {LARGEST_PHOTO} bytes"})
        self.photo("PUT", self.rfile.read(length))

    def do_DELETE(self):
        token = self.headers.get("X-Moderator", "")
        if not hmac.compare_digest(token.encode(), os.environ["MODERATOR_TOKEN"].encode()):
            return self.answer(403, {"error": "only the moderator empties the book"})
        self.guarded(lambda: self.answer(200, {"removed": BOOK.clear()}))

    def do_GET(self):
        if self.path.startswith("/photos/"):
            return self.photo("GET")
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
