"""The web application: what it answers, to whom, and what it sends with it. Needs the extra `studio`.

A page of another site can make a browser send requests here, or reach here under a name of its own (DNS rebinding). So
only hosts are answered that the studio was started under, and a question only where it comes from its own page.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import json
import socket
import sys
import threading
import traceback
import webbrowser
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from genshift.errors import Refusal, of_exhaustion, of_os_error
from genshift.paths import AnyPath, given_path, given_paths
from genshift.runs.find import find_runs
from genshift.studio.actions import answer
from genshift.studio.pictures import MOST_BYTES
from genshift.studio.workshop import Workshop
from genshift.training.console import Console

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

NEEDED = ("starlette", "uvicorn")
LOOPBACK = "127.0.0.1"
PORT, LAST_PORT = 8571, 65_535
OWN_NAMES = ("127.0.0.1", "localhost", "::1")
MOST_SENT = MOST_BYTES * 4 // 3 + 2**20  # bytes of a request: a picture in base64, and what stands around it
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
# A page may load nothing but what is served here, and be shown in no other page.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def studio(
    runs: AnyPath | Iterable[AnyPath],
    *,
    port: int | None = None,
    host: str = LOOPBACK,
    browser: bool = True,
    data_root: AnyPath | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Opens the page of the runs among and below some folders, and returns when it is interrupted (Ctrl-C).

    port: 8571, or where that is taken any that is free. host: the address that is listened on; another than this
    machine's own lets others see and use the runs. browser: whether one is opened. Raises Refusal where there is no
    run, the port is taken, or the extra is missing.
    """
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise Refusal(f"The studio needs {missing[0]}, which is not installed: pip install 'genshift[studio]'.")
    places = given_paths(runs)
    find_runs(places)  # its refusal
    workshop = Workshop(places, None if data_root is None else given_path(data_root), device, threads)
    listening = _listen(host, port)
    address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}/"
    if not _is_loopback(host):
        warning = (
            f"note: whoever reaches {host} can see these runs and use them: leave --host out to keep them to yourself."
        )
        Console().say(warning)
    print(f"{address}: the studio of {len(workshop.runs()):,} runs, until Ctrl-C.", flush=True)
    if browser:
        threading.Timer(0.5, webbrowser.open, [address]).start()
    _serve(application(workshop, host), listening)


def _listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens; Refusal where it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if port is not None and port > LAST_PORT:
        raise Refusal(f"--port is at most {LAST_PORT:,}, not {port:,}.")
    for chosen in (PORT, 0) if port is None else (port,):
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, chosen))
            listening.listen()
        except OSError as error:
            listening.close()
            failed = error
        else:
            return listening
    raise Refusal(f"Nothing can listen on {host}, port {chosen} ({failed.strerror or failed}): give another --port.")


def _serve(app: Starlette, listening: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", ws="none", server_header=False)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:  # how it is closed
        return


# --- the application --------------------------------------------------------------------------------------------------


def application(workshop: Workshop, host: str = LOOPBACK) -> Starlette:
    """The page at /, its files below /page/, and actions as POST requests in JSON below /do/."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import Response
    from starlette.routing import Route

    pages = _pages()

    async def page(request: Request) -> Response:
        name = request.path_params.get("name", "studio.html")
        if name not in pages:
            return _refused("There is no such page: open /.", 404)
        return Response(pages[name], media_type=TYPES[Path(name).suffix], headers=HEADERS)

    async def do(request: Request) -> Response:
        return await _do(workshop, request)

    routes = [Route("/", page), Route("/page/{name}", page), Route("/do/{name}", do, methods=["POST"])]
    return Starlette(routes=routes, middleware=[Middleware(_Guard, host=host)])


def _pages() -> dict[str, bytes]:
    """The files of the page by name: no request's path is ever looked for on the disk."""
    folder = files("genshift.studio") / "page"
    return {file.name: file.read_bytes() for file in folder.iterdir() if Path(file.name).suffix in TYPES}


class _Guard:
    """Lets through what was asked of a host that the studio goes by, by its own page or by a person."""

    def __init__(self, app: Any, host: str) -> None:
        self.app, self.host = app, host

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        why = self._against(scope["method"], headers)
        await (self.app if why is None else _refused(why, 403))(scope, receive, send)

    def _against(self, method: str, headers: dict[str, str]) -> str | None:
        host = headers.get("host", "")
        if not is_own_name(host, self.host):
            return f"This studio does not go by the name '{host[:100]}': open it at the address that it printed."
        if method in ("GET", "HEAD"):
            return None
        # A page of another site can send a form, but neither this type nor this origin.
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return "Only the studio's own page may ask it to do something."
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return "Only the studio's own page may ask it to do something."
        if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return "A request is JSON, of the type application/json."
        return None


def is_own_name(header: str, host: str) -> bool:
    """Whether a Host header names this studio: this machine's own names, what it listens on, or, where it listens on
    all addresses, any address in numbers, which no other site's name can stand for."""
    try:
        name = urlsplit(f"//{header}").hostname or ""
        _ = urlsplit(f"//{header}").port
    except ValueError:
        return False
    if name in OWN_NAMES or name == host.lower():
        return True
    return host in ("0.0.0.0", "::") and (_is_address(name) or name == socket.gethostname().lower())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


# --- answers ----------------------------------------------------------------------------------------------------------


async def _do(workshop: Workshop, request: Request) -> Response:
    """One action: its answer, or a line for each of several as they come; a refusal as its sentence."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import Response, StreamingResponse

    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_SENT:
            return _refused(f"More than {MOST_SENT:,} bytes were sent: give a smaller picture.", 413)
    name = request.path_params["name"]
    found, status = await run_in_threadpool(_answered, workshop, name, bytes(body))
    if isinstance(found, Iterator):
        return StreamingResponse(_lines(found), media_type="application/x-ndjson", headers=HEADERS)
    return Response(_json(found), status, media_type="application/json", headers=HEADERS)


def _answered(workshop: Workshop, name: str, body: bytes) -> tuple[Any, int]:
    """What is answered, and the HTTP status of it."""
    try:
        return answer(workshop, name, body), 200
    except Exception as error:  # noqa: BLE001  # whatever fails, the studio stays up and says so
        return {"error": sentence(error)}, 422 if isinstance(error, Refusal) else 500


def _lines(found: Iterator[Any]) -> Iterator[bytes]:
    try:
        for one in found:
            yield _json(one) + b"\n"
    except Exception as error:  # noqa: BLE001  # as above; the answer has begun, so its last line says it
        yield _json({"error": sentence(error)}) + b"\n"


def sentence(error: Exception) -> str:
    """What is told of a failure; one that nobody foresaw stands in the terminal too."""
    if isinstance(error, Refusal):
        return str(error)
    if isinstance(error, OSError):
        return str(of_os_error(error, f"using {error.filename}" if error.filename else "reading or writing"))
    ended = of_exhaustion(error)
    if isinstance(ended, Refusal):
        return str(ended)
    traceback.print_exception(error, file=sys.stderr)
    return (
        f"Something failed that should not ({type(error).__name__}): the studio's terminal says more; please report it."
    )


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode(errors="backslashreplace")


def _refused(why: str, status: int) -> Response:
    from starlette.responses import Response

    return Response(_json({"error": why}), status, media_type="application/json", headers=HEADERS)
