"""Bundles on a model hub: `huggingface_hub`, the client of the hub's own, sends them, and it alone knows tokens."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import genshift
from genshift.errors import Refusal
from genshift.exporting.bundle import HELD, bundle, check_bundle
from genshift.runs.folder import RunFolder

EXTRA = "Pushing needs huggingface_hub, which is not installed: pip install 'genshift[hub]'."
LOG_IN = "log in with `hf auth login`, or set HF_TOKEN to a token that may write there"
REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]*")  # as the hub names licences: apache-2.0, cc-by-nc-4.0, other


def check_licence(licence: str | None) -> None:
    """Refuses what names no licence to the hub."""
    if licence is not None and not LICENCE.fullmatch(licence):
        raise Refusal(f"'{licence}' is no name of a licence on the hub: expected one such as apache-2.0, mit or other.")


def push(run: RunFolder, repo: str, licence: str | None = None, public: bool = False) -> str:
    """Sends a run's bundle to the repository `repo` of the hub that HF_ENDPOINT names, and returns its address.

    run: a run, or a bundle, which is sent as it is. public: whether everybody may read a repository that is made by
    this; one that is there stays as it is. What an earlier push left there of a bundle's files, and this one has not,
    is removed. Raises Refusal where the extra is missing, nobody is logged in, or the hub refuses or is not reached.
    """
    if not REPO.fullmatch(repo):
        raise Refusal(f"'{repo}' is no name of a repository: expected OWNER/NAME.")
    client = _client()
    with TemporaryDirectory() as folder:
        if run.is_bundle:
            check_bundle(run.path)
            return _send(client, run.path, repo, public)
        return _send(client, bundle(run, Path(folder, run.path.resolve().name), licence, repo), repo, public)


def _client() -> Any:
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise Refusal(EXTRA) from None


def _send(client: Any, folder: Path, repo: str, public: bool) -> str:
    """One commit of the folder's files."""
    api = client.HfApi(library_name="genshift", library_version=genshift.__version__)
    try:
        address = str(api.create_repo(repo, private=not public, exist_ok=True))
        api.upload_folder(
            repo_id=repo, folder_path=folder, commit_message=f"Written by genshift {genshift.__version__}",
            allow_patterns=list(HELD), delete_patterns=list(HELD),
        )  # fmt: skip
    except Exception as error:
        raise _refusal(error, repo, client) from error
    return address


def _refusal(error: Exception, repo: str, client: Any) -> Refusal:
    """The sentence for what the client raised: what lies behind it says more than that an upload failed."""
    while error.__cause__ is not None and getattr(error, "response", None) is None:
        error = error.__cause__  # type: ignore[assignment]  # of an error's kind
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, client.errors.LocalTokenNotFoundError) or status in (401, 403):
        return Refusal(f"{repo} was not pushed, for the hub does not let you write there: {LOG_IN}.")
    if isinstance(error, client.errors.OfflineModeIsEnabled):
        return Refusal(f"{repo} was not pushed, for HF_HUB_OFFLINE keeps the client off the network: unset it.")
    answered = "the hub was not reached" if status is None else f"the hub answered {status}"
    return Refusal(f"{repo} was not pushed: {answered} ({reason}); the same command tries again.")
