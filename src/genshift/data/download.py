"""Downloads, asked for by the user only: resumed, verified, and put in place whole or not at all."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from genshift.data.catalog import entry
from genshift.data.dataset import DataFile, DataSet
from genshift.data.places import cache_root, is_published
from genshift.errors import Refusal, of_os_error, unknown
from genshift.paths import given_path

ATTEMPTS = 3  # for one address, each going on where the last was cut
PAUSE = 1.0  # seconds before the second attempt, twice as long before the third
PIECE = 1 << 16  # bytes written at a time; what is lost when a connection is cut is less than one
TIMEOUT = (10.0, 60.0)  # seconds to connect, and between two pieces
MOST_BYTES = 16 * 2**30  # of a file whose size is not published
PATIENCE, SLOWEST = 120.0, 10_000  # a file may take these seconds, and one more for so many of its bytes

Progress = Callable[[str, int, int | None], None]  # file name, bytes so far, bytes in all


def get(
    name: str,
    split: str | None = None,
    *,
    data_root: Path | str | None = None,
    base_url: str | None = None,
    say: Callable[[str], None] = print,
    progress: Progress | None = None,
) -> list[Path]:
    """Fetches the files of a catalog set (of one split, where named) and returns where they lie.

    They go below `data_root`, or into the user's cache. `base_url` (or `$GENSHIFT_MIRROR`) replaces the
    published addresses by a mirror's folder; checksums hold all the same. A file that is there already stays
    as it is.

    Raises Refusal, naming the address and the reason, where a file cannot be had; nothing half-written is
    left under a file's name.
    """
    data = entry(name)
    if split is not None and split not in data.splits:
        raise unknown("split", split, data.splits, f"'{data.name}' has these.")
    # Where there is nothing to fetch, or nothing that a program can.
    if data.embedded:
        say(f"{name} comes with scikit-learn: there is nothing to fetch.")
        return []
    if not data.files:
        how = data.by_hand or f"put it into the folder {data.folders[0]} of a data root"
        raise Refusal(f"No program can fetch '{name}': {how}.")

    # A split's files are its own and those that serve every split; of a whole set, all but those fetched on request.
    if split is None:
        files = [file for file in data.files if not file.on_request]
    else:
        files = [file for file in data.files if file.split in (None, split)]

    mirror = base_url or os.environ.get("GENSHIFT_MIRROR")
    folder = given_path(data_root) if data_root is not None else cache_root()
    return [_get(data, file, folder / data.folders[0], mirror, say, progress) for file in files]


def _get(
    data: DataSet,
    file: DataFile,
    folder: Path,
    mirror: str | None,
    say: Callable[[str], None],
    progress: Progress | None,
) -> Path:
    """One file, from the mirror or the first of its addresses that has it; where it lies."""
    target = folder / file.name
    if target.is_file():  # never written over: it may be all that its user has
        good = is_published(file, target)
        say(f"{target} is there already{'' if good else ', but is not the published one; it is kept'}.")
        return target

    urls = (f"{mirror.rstrip('/')}/{file.name}",) if mirror else file.urls
    if not urls:
        raise Refusal(f"No program can fetch {file.name} of '{data.name}': {data.by_hand}.")
    for number, url in enumerate(urls, 1):
        try:
            fetch_file(url, file, target, progress)
        except Refusal as refusal:
            if number == len(urls):
                raise Refusal(f"{refusal}{f' Or {data.by_hand}.' if data.by_hand else ''}") from refusal
            say(f"{refusal} Trying the next address.")
        else:
            checked = "its checksum is the published one" if file.md5 else "no checksum of it is published"
            say(f"{target} was fetched from {url}; {checked}.")
            break
    return target


def fetch_file(url: str, file: DataFile, target: Path, progress: Progress | None) -> None:
    """One file from one address by pooch, which checks the bytes before it gives them their name.

    No more is taken than the published size (MOST_BYTES where none is), in no more than PATIENCE and a second for each
    SLOWEST bytes of it.
    """
    import pooch
    import requests.exceptions as http

    pooch.get_logger().setLevel("WARNING")  # its lines about hashes are for programmers
    downloader = Resuming(target, file.size, progress)
    try:
        try:
            _retrieve(url, file, target, downloader)
        except ValueError:
            if not downloader.resumed:
                raise
            # The part that it went on from may have been of another file: once more, from nothing. pooch has taken
            # the part away by then.
            downloader = Resuming(target, file.size, progress)
            _retrieve(url, file, target, downloader)
    except http.HTTPError as error:
        reply = error.response
        answer = "refused" if reply is None else f"answered {reply.status_code} {reply.reason}"
        raise Refusal(f"{url} {answer}: {file.name} is not to be had there.") from error
    except (http.ChunkedEncodingError, http.ContentDecodingError) as error:  # bytes came, and not to the end
        raise _cut(url, file) from error
    except http.RequestException as error:
        if downloader.started:
            raise _cut(url, file) from error
        reason = "took too long to answer" if isinstance(error, http.Timeout) else "cannot be reached"
        raise Refusal(f"{url} {reason}: check the network, then run the same command again.") from error
    except ValueError as error:  # pooch's word for a checksum that differs
        raise Refusal(
            f"{url} gave bytes that are not the published {file.name} (checksum {file.md5}): they were thrown away."
        ) from error
    except OSError as error:
        raise of_os_error(error, f"writing {target}") from error


def _cut(url: str, file: DataFile) -> Refusal:
    return Refusal(
        f"{url} cut the connection before {file.name} was whole: run the same command again, it goes on from there."
    )


def _retrieve(url: str, file: DataFile, target: Path, downloader: Resuming) -> None:
    """The file by pooch; ValueError where its checksum is not the published one."""
    import pooch

    known = f"md5:{file.md5}" if file.md5 else None
    pooch.retrieve(url, known_hash=known, fname=target.name, path=target.parent, downloader=downloader)


class Resuming:
    """A downloader for pooch that keeps what it has in `.NAME.part` and asks the host for the rest.

    resumed: whether any bytes are from an earlier attempt. started: whether the host sent any byte.
    """

    def __init__(self, target: Path, size: int | None, progress: Progress | None) -> None:
        self.name = target.name
        self.most = MOST_BYTES if size is None else size
        self.seconds = PATIENCE + self.most / SLOWEST
        self.until = time.monotonic() + self.seconds
        self.part = target.with_name(f".{target.name}.part")
        self.progress = progress
        self.resumed = False
        self.started = False

    def __call__(self, url: str, output_file: Any, pooch: Any, check_only: bool = False) -> None:
        import requests.exceptions as http

        for attempt in range(ATTEMPTS):
            try:
                self._pull(url)
                break
            except (http.ConnectionError, http.ChunkedEncodingError, http.Timeout):  # what another attempt may mend
                if attempt + 1 == ATTEMPTS:
                    raise
                time.sleep(PAUSE * 2**attempt)
        os.replace(self.part, output_file)

    def _pull(self, url: str) -> None:
        """One request: what is missing of the file, added to the part that is here."""
        import requests

        have = self.part.stat().st_size if self.part.exists() else 0
        # No encoding on the way: the part's size is to be the place from which to go on.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if have and response.status_code == 416:  # nothing is left to send, or the part is of another file
                self.resumed = True
                return
            response.raise_for_status()
            goes_on = response.status_code == 206 and response.headers.get("Content-Range", "").startswith(
                f"bytes {have}-"
            )
            self.resumed |= goes_on
            if not goes_on:  # the host sends the file from its beginning, whatever was asked for
                have = 0
            length = response.headers.get("Content-Length")
            total = have + int(length) if length else None
            if max(have, total or 0) <= self.most:
                with open(self.part, "ab" if have else "wb") as part:
                    have = self._receive(url, response.raw, part, have, total)
        if max(have, total or 0) > self.most:
            self.part.unlink(missing_ok=True)
            raise Refusal(
                f"{url} sends more than the {self.most:,} bytes that {self.name} may have: it is not that file, and "
                "nothing of it was kept."
            )

    def _receive(self, url: str, raw: Any, part: BinaryIO, have: int, total: int | None) -> int:
        """Adds what the host sends to the part, at most the first piece beyond the bound; how long it then is."""
        import requests.exceptions as http
        import urllib3.exceptions

        try:
            # What has come, at once: reading whole pieces would wait for ever for a host that sends drops.
            while have <= self.most and (piece := raw.read1(PIECE, decode_content=True)):
                if time.monotonic() > self.until:
                    raise Refusal(
                        f"{url} took more than {self.seconds / 60:,.0f} minutes to send {self.name}: run the same "
                        "command again, it goes on from there."
                    )
                self.started = True
                part.write(piece)
                have += len(piece)
                if self.progress:
                    self.progress(self.name, have, total)
        except urllib3.exceptions.HTTPError as error:
            raise http.ChunkedEncodingError(error) from error
        return have
