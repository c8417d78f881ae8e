"""The studio's server: whom it answers, what it lets through, and that it stays up."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import tiny
from studio_runs import in_base64

import genshift
from genshift.errors import Refusal
from genshift.studio import actions, server
from genshift.studio.actions import Action
from genshift.studio.diffusion import OfRun
from genshift.studio.workshop import Workshop

uvicorn = pytest.importorskip("uvicorn", reason="the extra studio is not installed")
pytest.importorskip("starlette", reason="the extra studio is not installed")

PAGE = Path(server.__file__).parent / "page"
JSON = {"Content-Type": "application/json"}


@contextmanager
def serving(runs, host="127.0.0.1"):
    """The port of a server of these runs."""
    listening = server._listen(host, 0)
    config = uvicorn.Config(
        server.application(Workshop([runs]), host), log_level="error", lifespan="off", ws="none", access_log=False
    )
    machine = uvicorn.Server(config)
    thread = threading.Thread(target=machine.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not machine.started:
        time.sleep(0.01)
    yield listening.getsockname()[1]
    machine.should_exit = True
    thread.join(30)
    listening.close()


@pytest.fixture(scope="module")
def runs(tmp_path_factory, domains, faces):
    root = tmp_path_factory.mktemp("served") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        tiny.be_quick(patch.setattr)
        tiny.train(tiny.tiny("demo-dann", domains), root / "dann")
        tiny.train(tiny.of_pictures("digits-diffusion", domains[0], width=8, size=16), root / "diffusion")
        tiny.train(tiny.of_pictures("faces-vae", faces[16], width=8, size=16, latent=4, prior="normal"), root / "vae")
    return root


@pytest.fixture(scope="module")
def port(runs):
    with serving(runs) as chosen:
        yield chosen


def send(port, method, path, body=None, **headers):
    """Status, headers and body of one request as it is written here; a header of None is left out."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as line:
        line.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        given = {"Host": f"127.0.0.1:{port}", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if body is not None:
            given["Content-Length"] = str(len(body))
        for name, value in given.items():
            if value is not None:
                line.putheader(name, value)
        line.endheaders(body)
        answered = line.getresponse()
        return answered.status, dict(answered.getheaders()), answered.read()


def do(port, action, **asked):
    status, _, body = send(port, "POST", f"/do/{action}", json.dumps(asked).encode(), **JSON)
    return status, [json.loads(line) for line in body.splitlines()]


def test_the_page_is_served_with_what_it_needs_and_no_more(port):
    status, headers, body = send(port, "GET", "/")
    assert status == 200 and headers["content-type"].startswith("text/html") and b"genshift studio" in body
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
    for file in PAGE.iterdir():
        status, headers, body = send(port, "GET", f"/page/{file.name}")
        assert status == 200 and body == file.read_bytes(), file.name
    assert do(port, "overview")[0] == 200


def test_the_page_names_no_other_host():
    for file in PAGE.iterdir():
        found = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\"'\s]*", file.read_text(encoding="utf-8")))
        assert found <= {"http://www.w3.org/2000/svg"}, file.name
        assert "localStorage" not in file.read_text(encoding="utf-8"), "pictures and labels stay in the page"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "", None, "localhost.evil.example",
     "127.0.0.1@evil.example", "[::1", "10.0.0.1:{port}", "0.0.0.0:{port}", "2130706433"],
)  # fmt: skip
def test_no_other_name_is_answered(port, host):
    """A page of another site can have its name lead here: DNS rebinding."""
    named = None if host is None else host.format(port=port)
    for method, path, body in (("GET", "/", None), ("POST", "/do/overview", b"{}"), ("GET", "/page/lib.js", None)):
        status, _, said = send(port, method, path, body, **JSON, Host=named)
        assert status in (400, 403) and b"genshift studio" not in said and b"dann" not in said, (host, method)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:{port}", "LOCALHOST:9000", "[::1]:{port}"])
def test_its_own_names_are_answered(port, host):
    assert send(port, "GET", "/", Host=host.format(port=port))[0] == 200


def test_where_it_listens_on_all_addresses_they_are_answered_in_numbers_alone():
    assert server.is_own_name("192.168.3.4:8571", "0.0.0.0") and server.is_own_name("192.168.3.4:1", "192.168.3.4")
    assert not server.is_own_name("evil.example:8571", "0.0.0.0")
    assert not server.is_own_name("192.168.3.5", "192.168.3.4") and not server.is_own_name("192.168.3.4", "127.0.0.1")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Content_Type": "text/plain"},
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Content_Type": None},
    ],
)
def test_no_other_sites_page_can_have_it_do_something(port, headers):
    given = {name: value and value.format(port=port) for name, value in headers.items()}
    given.setdefault("Content_Type", "application/json")
    status, _, said = send(port, "POST", "/do/overview", b"{}", **given)
    assert status == 403 and "dann" not in said.decode()
    own = {"Origin": f"http://127.0.0.1:{port}", "Sec_Fetch_Site": "same-origin", **JSON}
    assert send(port, "POST", "/do/overview", b"{}", **own)[0] == 200
    assert send(port, "GET", "/do/overview", **own)[0] == 405


@pytest.mark.parametrize(
    "path",
    ["/page/../server.py", "/page/%2e%2e/server.py", "/page/..%2fserver.py", "/page//etc/passwd", "/../../etc/passwd",
     "/page/%00", "/page/studio.html/../../server.py", "/runs/dann/config.json", "/config.json", "/page/",
     "/do/../page/../server.py", "/page/....//server.py", "//etc/passwd", "/page/..\\server.py", "/file=/etc/passwd"],
)  # fmt: skip
def test_no_path_leads_to_a_file(port, path):
    status, _, body = send(port, "GET", path)
    assert status in (307, 400, 404, 405) and b"import" not in body and b"root:" not in body


def test_a_refusal_is_a_sentence_and_the_studio_stays_up(port):
    for action, asked, said in (
        ("about", {"run": "dan"}, "did you mean 'dann'"),
        ("nothing", {}, "There is no action 'nothing'"),
        ("classify", {"run": "dann", "picture": "aGVsbG8="}, "no picture that can be read"),
        ("draw", {"run": "vae"}, "no reverse process"),
        ("about", {"run": "../dann"}, "There is no run"),
    ):
        status, lines = do(port, action, **asked)
        assert said in lines[-1]["error"] and "Traceback" not in lines[-1]["error"], action
        assert status == (200 if action == "draw" else 422)  # an answer that comes in lines has begun
    assert send(port, "POST", "/do/overview", b"x" * (server.MOST_SENT + 1), **JSON)[0] == 413
    assert do(port, "overview")[0] == 200


def test_what_nobody_foresaw_is_told_and_the_studio_stays_up(port, monkeypatch, capfd):
    def fail(workshop, asked):
        raise ZeroDivisionError("a secret of the inside")

    monkeypatch.setitem(actions.ACTIONS, "sweep", Action(OfRun, fail))
    status, (line,) = do(port, "sweep", run="dann")
    assert status == 500 and "ZeroDivisionError" in line["error"] and "secret" not in line["error"]
    assert "a secret of the inside" in capfd.readouterr().err
    assert do(port, "overview")[0] == 200


def test_states_come_as_they_are_drawn(port, monkeypatch):
    """The first one before the last is computed."""
    going = threading.Event()

    def slow(workshop, asked):
        yield {"done": 0}
        assert going.wait(30), "the first line never came"
        yield {"done": 1}

    monkeypatch.setitem(actions.ACTIONS, "sweep", Action(OfRun, slow))
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as line:
        line.request("POST", "/do/sweep", b'{"run": "dann"}', JSON)
        answered = line.getresponse()
        assert json.loads(answered.readline()) == {"done": 0}
        going.set()
        assert json.loads(answered.readline()) == {"done": 1}


def test_two_users_at_once(port):
    """Each gets what a user alone gets."""
    picture = in_base64(tiny.digits(1, 0).images[0])
    asked = [
        ("draw", {"run": "diffusion", "seed": 1, "sampling": {"steps": 6, "guide": "unconditional"}}),
        ("latent", {"run": "vae", "seed": 3}),
        ("classify", {"run": "dann", "picture": picture}),
        ("draw", {"run": "diffusion", "seed": 2, "sampling": {"steps": 3, "guide": "unconditional"}}),
        ("map", {"run": "dann", "count": 20}),
    ]
    alone = [do(port, action, **body) for action, body in asked]
    with ThreadPoolExecutor(10) as users:
        both = list(users.map(lambda one: do(port, one[0], **one[1]), [*asked, *asked]))
    assert both == [*alone, *alone]


def test_it_listens_on_this_machines_own_address_alone():
    listening = server._listen("127.0.0.1", 0)
    assert listening.getsockname()[0] == "127.0.0.1"
    with pytest.raises(Refusal, match="give another --port"):
        server._listen("127.0.0.1", listening.getsockname()[1])
    listening.close()


def test_the_command_says_where_and_ends_with_ctrl_c(runs):
    words = [sys.executable, "-m", "genshift", "studio", str(runs), "--no-browser", "--threads", "1", "--port", "0"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        words[-1] = str(free.getsockname()[1])
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as studio:
        try:
            said = studio.stdout.readline()
            address = re.match(r"http://127\.0\.0\.1:(\d+)/: the studio of 3 runs", said)
            assert address and address[1] == words[-1], said
            for _ in range(300):
                with socket.socket() as line:
                    if line.connect_ex(("127.0.0.1", int(words[-1]))) == 0:
                        break
                time.sleep(0.1)
            assert do(int(words[-1]), "overview")[0] == 200
            studio.send_signal(signal.SIGINT)
            rest = studio.stdout.read()
            assert studio.wait(30) == 0, rest
            assert rest.startswith("next: genshift report") and "Traceback" not in rest
        finally:
            studio.kill()


def test_what_the_command_refuses(tmp_path, capfd, monkeypatch, runs):
    assert "holds none" in tiny.refused(capfd, "studio", tmp_path)
    assert "There is no folder" in tiny.refused(capfd, "studio", tmp_path / "gone")
    assert "at most 65,535" in tiny.refused(capfd, "studio", runs, "--port", "70000")
    assert "--port" in tiny.refused(capfd, "studio", runs, "--host", "203.0.113.7")
    monkeypatch.setattr(server, "NEEDED", ("starlette", "no_such_package"))
    assert "pip install 'genshift[studio]'" in tiny.refused(capfd, "studio", runs)


def test_the_verb_is_a_function_too(runs):
    assert callable(genshift.studio)
    with pytest.raises(Refusal, match="at most 65,535"):
        genshift.studio(runs, port=70_000, browser=False)
