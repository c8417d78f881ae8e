"""Downloads, against a server on this machine that cuts, lies and refuses."""

import hashlib
import socket
from dataclasses import replace

import pytest
from data_files import write_usps
from data_server import serving

from genshift.cli import main
from genshift.data import dataset, download, get, load
from genshift.data.catalog import entry
from genshift.errors import Refusal


@pytest.fixture
def usps(tmp_path, monkeypatch):
    """A server of a small usps whose checksums stand in the catalog: address, manners, user's root, folder."""
    monkeypatch.setenv("GENSHIFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GENSHIFT_DATA", raising=False)
    monkeypatch.delenv("GENSHIFT_MIRROR", raising=False)
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setattr(download, "PIECE", 64)
    folder = write_usps(tmp_path / "served")
    data = entry("usps")
    files = tuple(replace(file, md5=hashlib.md5((folder / file.name).read_bytes()).hexdigest()) for file in data.files)
    monkeypatch.setitem(dataset._sets, "usps", replace(data, files=files))
    with serving(folder) as (url, manners):
        yield url, manners, tmp_path / "mine", folder


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_fetches_verifies_and_loads(usps):
    url, manners, mine, _ = usps
    said = []
    seen = []
    paths = get("usps", data_root=mine, base_url=url, say=said.append, progress=lambda *a: seen.append(a))
    assert [path.name for path in paths] == ["usps.bz2", "usps.t.bz2"] == names(mine / "usps")
    assert "published" in said[0] and len(load("usps", data_root=mine)) == 20
    assert seen[-1][0] == "usps.t.bz2" and seen[-1][1] == seen[-1][2]
    asked = len(manners.asked)
    get("usps", data_root=mine, base_url=url, say=said.append)
    assert len(manners.asked) == asked and "is there already" in said[-1]


def test_the_command_says_how_far_it_is(usps, monkeypatch, capfd):
    """Plain lines where nobody looks at a terminal; a bar that ends full where somebody does."""
    url, _, mine, folder = usps
    monkeypatch.setenv("GENSHIFT_MIRROR", url)
    assert main.main(["data", "get", "usps", "--data-root", str(mine)]) == 0
    out, err = capfd.readouterr()
    assert out.splitlines() == [str(mine / "usps" / name) for name in ("usps.bz2", "usps.t.bz2")]
    lines = err.splitlines()
    assert (
        len(lines) == 7
        and lines[6].startswith("next: genshift data check usps")
        and [line.split(": ")[0] for line in lines[:2]] == ["usps.bz2"] * 2
    )
    assert "fetching 0.0 MB" in lines[0] and "0.0 MB are here" in lines[1] and "was fetched from" in lines[2]
    monkeypatch.setenv("FORCE_COLOR", "1")
    (mine / "usps" / "usps.bz2").unlink()
    assert main.main(["data", "get", "usps", "--split", "train", "--data-root", str(mine)]) == 0
    size = (folder / "usps.bz2").stat().st_size
    err = capfd.readouterr().err
    assert "━" in err and "fetching" not in err and f"{size / 1000:.1f}/{size / 1000:.1f}" in err


def test_goes_into_the_cache_and_takes_a_mirror_from_the_environment(usps, tmp_path, monkeypatch):
    monkeypatch.setenv("GENSHIFT_MIRROR", usps[0])
    assert get("usps", "test", say=lambda _: None) == [tmp_path / "cache" / "usps" / "usps.t.bz2"]
    assert len(load("usps", "test")) == 10


@pytest.mark.parametrize("ranges", [True, False], ids=["resumed", "restarted"])
def test_a_cut_connection_is_taken_up_again(usps, ranges):
    url, manners, mine, folder = usps
    manners.cuts, manners.ranges = 2, ranges
    get("usps", "train", data_root=mine, base_url=url, say=lambda _: None)
    assert (mine / "usps" / "usps.bz2").read_bytes() == (folder / "usps.bz2").read_bytes()
    assert names(mine / "usps") == ["usps.bz2"] and len(manners.asked) == 3
    starts = [int(asked[6:-1]) if asked else 0 for _, asked in manners.asked]
    assert starts[0] == 0 < starts[1] and (starts[2] > starts[1]) == ranges


def test_a_connection_cut_again_and_again_is_refused_and_later_goes_on(usps):
    url, manners, mine, _ = usps
    manners.cuts = 99
    with pytest.raises(Refusal, match=r"cut the connection before usps\.bz2 was whole: run the same command again"):
        get("usps", "train", data_root=mine, base_url=url)
    assert names(mine / "usps") == [".usps.bz2.part"]
    with pytest.raises(Refusal, match="not found"):
        load("usps", data_root=mine)
    manners.cuts, manners.asked = 0, []
    get("usps", "train", data_root=mine, base_url=url, say=lambda _: None)
    assert names(mine / "usps") == ["usps.bz2"] and manners.asked[0][1] is not None


def test_wrong_bytes_are_thrown_away(usps):
    url, manners, mine, _ = usps
    manners.wrong = True
    with pytest.raises(Refusal, match=r"not the published usps\.bz2"):
        get("usps", "train", data_root=mine, base_url=url)
    assert names(mine / "usps") == []


@pytest.mark.parametrize("length", [10, 10**6], ids=["short", "long"])
def test_a_part_of_another_file_is_given_up(usps, length):
    url, _, mine, _ = usps
    (mine / "usps").mkdir(parents=True)
    (mine / "usps" / ".usps.bz2.part").write_bytes(b"x" * length)
    get("usps", "train", data_root=mine, base_url=url, say=lambda _: None)
    assert len(load("usps", data_root=mine)) == 20 and names(mine / "usps") == ["usps.bz2"]


def test_no_more_is_taken_than_a_file_has(usps, monkeypatch):
    """By its published size; by a stated bound where none is published, of a host that says no length."""
    url, manners, mine, folder = usps
    size = (folder / "usps.bz2").stat().st_size
    short = replace(entry("usps").files[0], size=size - 1)
    with pytest.raises(Refusal, match=rf"sends more than the {size - 1:,} bytes that usps\.bz2 may have"):
        download.fetch_file(f"{url}/usps.bz2", short, mine / "usps.bz2", None)
    manners.endless = True
    monkeypatch.setattr(download, "MOST_BYTES", 10_000)
    with pytest.raises(Refusal, match=r"more than the 10,000 bytes that usps\.bz2 may have.*nothing of it was kept"):
        download.fetch_file(f"{url}/usps.bz2", replace(short, size=None), mine / "usps.bz2", None)
    assert names(mine) == []


def test_a_host_that_sends_drops_is_left_and_later_goes_on(usps, monkeypatch):
    url, manners, mine, _ = usps
    manners.drops = True
    monkeypatch.setattr(download, "PATIENCE", 0.1)
    monkeypatch.setattr(download, "SLOWEST", 10**12)
    with pytest.raises(Refusal, match=r"took more than 0 minutes to send usps\.bz2: run the same command again"):
        get("usps", "train", data_root=mine, base_url=url)
    assert (mine / "usps" / ".usps.bz2.part").stat().st_size > 0
    manners.drops, manners.asked = False, []
    get("usps", "train", data_root=mine, base_url=url, say=lambda _: None)
    assert names(mine / "usps") == ["usps.bz2"] and manners.asked[0][1] is not None


@pytest.mark.parametrize("status", [404, 403, 500])
def test_a_refusing_host(usps, status):
    url, manners, mine, _ = usps
    manners.status = status
    with pytest.raises(Refusal, match=rf"/usps\.bz2 answered {status} "):
        get("usps", data_root=mine, base_url=url)
    assert names(mine / "usps") == []


def test_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(Refusal, match="cannot be reached: check the network"):
        download.fetch_file(f"{url}/a", entry("usps").files[0], tmp_path / "a", None)


def test_unreachable_then_next_address(usps, monkeypatch):
    url, _, mine, _ = usps
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}/usps.bz2"
    data = entry("usps")
    files = tuple(replace(file, urls=(dead, f"{url}/{file.name}")) for file in data.files)
    monkeypatch.setitem(dataset._sets, "usps", replace(data, files=files))
    said = []
    get("usps", "train", data_root=mine, say=said.append)
    assert "cannot be reached" in said[0] and "Trying the next address" in said[0] and names(mine / "usps")


def test_a_users_own_file_is_kept(usps):
    url, manners, mine, _ = usps
    (mine / "usps").mkdir(parents=True)
    (mine / "usps" / "usps.bz2").write_bytes(b"mine")
    said = []
    get("usps", "train", data_root=mine, base_url=url, say=said.append)
    assert "not the published one; it is kept" in said[0] and not manners.asked
    assert (mine / "usps" / "usps.bz2").read_bytes() == b"mine"


def test_sets_that_no_program_fetches(monkeypatch):
    with pytest.raises(Refusal, match="Align&Cropped"):
        get("celeba")
    assert get("uci", say=lambda _: None) == []
    with pytest.raises(Refusal, match="did you mean 'usps'"):
        get("upsp")
    with pytest.raises(Refusal, match="split 'tset'"):
        get("svhn", "tset")
    with pytest.raises(Refusal, match="split 'tset'"):
        get("uci", "tset")
    monkeypatch.setattr(download, "_get", lambda data, file, *rest: file)
    assert [file.split for file in get("svhn")] == ["train", "test"]


def test_a_root_that_is_a_file(usps, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(Refusal, match=r"Stopped while writing|cannot be"):
        get("usps", data_root=tmp_path / "file", base_url=usps[0])
