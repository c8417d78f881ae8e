"""A model hub on this machine: as much of its HTTP protocol as `huggingface_hub` speaks to send and fetch a model."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import yaml

TOKEN = "hf_of_a_test"
SHA = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Repositories by name, each its files by path; `requests` are those that came, `private` what was made so.

    status: what the hub answers to a commit, where it is not 200.
    """

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.status = 200
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self) -> Hub:
        self.thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    # --- what each address answers: status, and JSON ------------------------------------------------------------------

    def create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        if name in self.repos:
            return 409, {"error": "there already", "url": f"{self.url}/{name}"}
        self.repos[name] = {".gitattributes": b""}
        self.private[name] = asked.get("private") or asked.get("visibility") == "private"
        return 200, {"url": f"{self.url}/{name}", "name": name}

    def check_card(self, asked: dict[str, Any]) -> tuple[int, Any]:
        header = yaml.safe_load(asked["content"].split("---")[1])
        wrong = [] if isinstance(header, dict) and header.get("library_name") else [{"message": "no header"}]
        return (400 if wrong else 200), {"errors": wrong, "warnings": []}

    def preupload(self, asked: dict[str, Any]) -> tuple[int, Any]:
        def mode(path: str) -> str:
            return "lfs" if path.endswith(".safetensors") else "regular"

        files = [{"path": f["path"], "uploadMode": mode(f["path"]), "shouldIgnore": False} for f in asked["files"]]
        return 200, {"files": files}

    def batch(self, asked: dict[str, Any]) -> tuple[int, Any]:
        objects = []
        for entry in asked["objects"]:
            upload = {"actions": {"upload": {"href": f"{self.url}/objects/{entry['oid']}", "header": {}}}}
            objects.append({**entry, **({} if entry["oid"] in self.objects else upload)})
        return 200, {"transfer": "basic", "objects": objects}

    def commit(self, repo: str, lines: list[dict[str, Any]]) -> tuple[int, Any]:
        if self.status != 200:
            return self.status, {"error": "the hub is full"}
        files = self.repos[repo]
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        return 200, {"commitUrl": f"{self.url}/{repo}/commit/{SHA}", "commitOid": SHA, "pullRequestUrl": None}

    def told(self, repo: str) -> tuple[int, Any]:
        siblings = [{"rfilename": name} for name in self.repos[repo]]
        return 200, {"id": repo, "modelId": repo, "sha": SHA, "siblings": siblings, "private": True, "tags": []}

    def tree(self, repo: str) -> tuple[int, Any]:
        files = self.repos[repo].items()
        return 200, [{"type": "file", "path": name, "size": len(held), "oid": _digest(held)} for name, held in files]


def _digest(held: bytes) -> str:
    return hashlib.sha256(held).hexdigest()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            hub.requests.append(f"POST {self.path}")
            text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return self.answer(401, {"error": "Invalid username or password."})
            repo = re.match(r"/(?:api/models/)?([\w.-]+/[\w.-]+?)(?:\.git)?/(?:preupload|info|commit)", self.path)
            if self.path == "/api/repos/create":
                return self.answer(*hub.create(json.loads(text)))
            if self.path == "/api/validate-yaml":
                return self.answer(*hub.check_card(json.loads(text)))
            if repo and "/preupload/" in self.path:
                return self.answer(*hub.preupload(json.loads(text)))
            if repo and self.path.endswith("/info/lfs/objects/batch"):
                return self.answer(*hub.batch(json.loads(text)))
            if repo and "/commit/" in self.path:
                return self.answer(*hub.commit(repo[1], [json.loads(line) for line in text.splitlines()]))
            return self.answer(404, {"error": "no such address"})

        def do_PUT(self) -> None:
            hub.requests.append(f"PUT {self.path}")
            held = self.rfile.read(int(self.headers["Content-Length"]))
            oid = self.path.rpartition("/")[2]
            if _digest(held) != oid:
                return self.answer(400, {"error": "other bytes"})
            hub.objects[oid] = held
            return self.answer(200, {})

        def do_GET(self, sends: bool = True) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            path = self.path.partition("?")[0]
            if found := re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)(/tree/\w+)?(/revision/\w+)?", path):
                if found[1] not in hub.repos:
                    return self.answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
                return self.answer(*(hub.tree(found[1]) if found[2] else hub.told(found[1])))
            found = re.fullmatch(r"/([\w.-]+/[\w.-]+)/resolve/\w+/(.+)", path)
            held = hub.repos.get(found[1], {}).get(found[2]) if found else None
            if held is None:
                return self.answer(404, {"error": "no such file"}, {"X-Error-Code": "EntryNotFound"})
            about = {"ETag": f'"{_digest(held)}"', "X-Repo-Commit": SHA, "Content-Length": str(len(held))}
            return self.send(200, held if sends else b"", about)

        def do_HEAD(self) -> None:
            self.do_GET(sends=False)

        def answer(self, status: int, value: Any, about: dict[str, str] | None = None) -> None:
            held = json.dumps(value).encode()
            kind = {"Content-Type": "application/json", "Content-Length": str(len(held))}
            self.send(status, held, {**kind, **(about or {})})

        def send(self, status: int, held: bytes, about: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in about.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(held)

        def log_message(self, format: str, *args: object) -> None:
            """`requests` has them."""

    return Handler
