"""Checkpoints: the one table of weights the studio knows, and how they get here.

Looked for in this order: a local directory, the hub's cache on this machine, the hub itself. Only safetensors
of a pinned commit are read, never pickles and never remote code.
"""

import json
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlparse

from studio.errors import CheckpointMissing

MINI = Path(__file__).parent.parent / "assets" / "mini"
FILES = ("*.json", "*.jinja", "*.safetensors", "*.txt", "LICENSE*", "README.md")
PICKLES = (".bin", ".pth", ".pt", ".ckpt", ".pkl")
COMMIT = re.compile(r"[0-9a-f]{40}")
SHARD = re.compile(r"(.+)-\d{5}-of-(\d{5})\.safetensors")

Kind = Literal["generation", "tokenizer", "xcodec2"]
MODEL_TYPES: dict[Kind, str] = {
    "generation": "higgs_audio_v2",
    "tokenizer": "higgs_audio_v2_tokenizer",
    "xcodec2": "xcodec2",
}


@dataclass(frozen=True)
class Checkpoint:
    """Weights by name: where they are, under which licence, how large."""

    key: str
    kind: Kind
    title: str
    licence: str
    folder: Path | None = None  # set: local, nothing is fetched
    repo_id: str = ""
    revision: str = ""  # 40 hex digits: the commit
    revision_setting: str = ""  # the environment variable that gives a commit nobody could pin here
    download_gb: float = 0.0
    gpu_memory_gb: float = 0.0
    tokenizer: str = ""  # a generation checkpoint's audio tokenizer, by key
    about: str = ""
    line_words: int = 0  # words of a line that a generation checkpoint speaks reliably; 0: nobody has measured it

    @property
    def source(self) -> str:
        """Where it is from, as facts and metadata name it."""
        if self.folder:
            return self.folder.name
        return f"{self.repo_id}@{self.revision[:12] or '(no revision given)'}"


_HIGGS_LICENCE = "Boson Higgs Audio 2 Community License (with Meta Llama 3's)"

CHECKPOINTS = {
    checkpoint.key: checkpoint
    for checkpoint in (
        Checkpoint(
            "mini",
            "generation",
            "Higgs Audio V2 mini (bundled)",
            "Apache-2.0",
            folder=MINI / "higgs-audio-v2-mini",
            tokenizer="tokenizer-mini",
            about="Small, made for trying things out: 13.5 M parameters, trained on synthetic speech.",
            line_words=12,
        ),
        Checkpoint(
            "tokenizer-mini",
            "tokenizer",
            "Higgs Audio V2 tokenizer mini (bundled)",
            "Apache-2.0",
            folder=MINI / "higgs-audio-v2-tokenizer-mini",
            about="Small, made for trying things out: 24 kHz, 25 frames/s, 8 codebooks of 1024.",
        ),
        Checkpoint(
            "xcodec2-mini",
            "xcodec2",
            "X-Codec2 mini (bundled)",
            "Apache-2.0",
            folder=MINI / "xcodec2-mini",
            about="Small, made for trying things out: 16 kHz, 50 frames/s, one codebook of 65,536.",
        ),
        Checkpoint(
            "3b",
            "generation",
            "Higgs Audio V2 3B",
            _HIGGS_LICENCE,
            repo_id="bosonai/higgs-audio-v2-generation-3B-base",
            revision_setting="HIGGS_REVISION",
            download_gb=11.5,
            gpu_memory_gb=13.0,
            tokenizer="tokenizer",
            about="The published model in its transformers layout: 5.8 B parameters, 2.8 B of them read per frame.",
        ),
        Checkpoint(
            "tokenizer",
            "tokenizer",
            "Higgs Audio V2 tokenizer",
            _HIGGS_LICENCE,
            repo_id="bosonai/higgs-audio-v2-tokenizer",
            revision="403fbacf2f60caaa102f893fdfabb694619b2417",
            download_gb=0.8,
            gpu_memory_gb=1.5,
            about="The published codec: 24 kHz, 25 frames/s, 2 kbit/s. Also at eustlb/higgs-audio-v2-tokenizer.",
        ),
        Checkpoint(
            "xcodec2",
            "xcodec2",
            "X-Codec2",
            "CC-BY-NC-4.0 (non-commercial)",
            repo_id="HKUSTAudio/xcodec2-hf",
            revision="64bd034d12d441299cdd535b15c33efd6ccdf252",
            download_gb=3.3,
            gpu_memory_gb=4.0,
            about="The published codec: 16 kHz, 50 frames/s, one codebook of 65,536, 0.8 kbit/s.",
        ),
    )
}


def find_checkpoint(name: str, kind: Kind) -> Checkpoint:
    """What a person means: a key of the table, a directory, or `owner/name@commit`.

    Raises:
        CheckpointMissing: it is none of them, or of another kind.
    """
    if name in CHECKPOINTS:
        checkpoint = CHECKPOINTS[name]
        if checkpoint.kind != kind:
            raise CheckpointMissing(f"“{name}” is a {checkpoint.kind} checkpoint, not a {kind} one.")
        return checkpoint
    given = Path(os.path.expanduser(name))  # noqa: PTH111  Path's own fails for a user who does not exist
    if name and given.is_dir():
        folder = given.resolve()
        tokenizer = str(folder / "audio_tokenizer") if (folder / "audio_tokenizer").is_dir() else ""
        return Checkpoint(str(folder), kind, folder.name, "see its model card", folder=folder, tokenizer=tokenizer)
    repo_id, _, revision = name.partition("@")
    if re.fullmatch(r"[\w.-]+/[\w.-]+", repo_id):
        return Checkpoint(
            name, kind, repo_id, "see its model card", repo_id=repo_id, revision=revision, tokenizer="tokenizer"
        )
    known = ", ".join(key for key, checkpoint in CHECKPOINTS.items() if checkpoint.kind == kind)
    raise CheckpointMissing(
        f"There is no checkpoint “{name}”. Give {known}, a directory, or OWNER/NAME@COMMIT from the hub."
    )


def tokenizer_of(checkpoint: Checkpoint, chosen: str = "") -> Checkpoint:
    """The audio tokenizer of a generation checkpoint: as chosen, or its own.

    Raises:
        CheckpointMissing: nobody says which it is; codes of one tokenizer are noise to another.
    """
    name = chosen or checkpoint.tokenizer
    if not name:
        raise CheckpointMissing(
            f"Which audio tokenizer belongs to {checkpoint.title}? Give it with --tokenizer (tokenizer, "
            "tokenizer-mini, a directory), or put it into the checkpoint's audio_tokenizer folder."
        )
    return find_checkpoint(name, "tokenizer")


def locate(checkpoint: Checkpoint, say: Callable[[str], None] = lambda text: None) -> Path:
    """The directory that holds a checkpoint's files, fetched if it must and can be.

    Args:
        checkpoint: Which.
        say: Told before a download begins.

    Raises:
        CheckpointMissing: one sentence with the remedy; within a second when there is no network.
    """
    if checkpoint.folder:
        return _checked(checkpoint.folder, checkpoint.kind)
    pinned = _pinned(checkpoint)
    return _checked(_in_cache(pinned) or _download(pinned, say), checkpoint.kind)


def _pinned(checkpoint: Checkpoint) -> Checkpoint:
    setting = checkpoint.revision_setting
    revision = (os.environ.get(setting, "") if setting else "") or checkpoint.revision
    if not COMMIT.fullmatch(revision):
        how = f"set {setting} to it" if setting else f"write {checkpoint.repo_id}@COMMIT"
        raise CheckpointMissing(
            f"{checkpoint.repo_id} is only loaded at a pinned commit: look the 40 hex digits up under "
            f"“Files and versions” on its page at the hub (transformers layout, April 2026 or later) and {how}."
        )
    return replace(checkpoint, revision=revision)


def _in_cache(checkpoint: Checkpoint) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            checkpoint.repo_id, revision=checkpoint.revision, allow_patterns=list(FILES), local_files_only=True
        )
    except LocalEntryNotFoundError:
        return None
    return Path(folder) if _complete(Path(folder)) else None


def _download(checkpoint: Checkpoint, say: Callable[[str], None]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    what = f"{checkpoint.title} ({checkpoint.repo_id}, {checkpoint.download_gb:g} GB)"
    if not _hub_reachable():
        raise CheckpointMissing(
            f"{what} is not on this machine and the hub cannot be reached: run “hf download {checkpoint.repo_id} "
            f"--revision {checkpoint.revision}” where there is a network, or start with --checkpoint mini."
        )
    say(f"Fetching {what} at {checkpoint.revision[:12]} …")
    try:
        return Path(
            snapshot_download(
                checkpoint.repo_id, revision=checkpoint.revision, allow_patterns=list(FILES), etag_timeout=5
            )
        )
    except RepositoryNotFoundError:
        raise CheckpointMissing(
            f"{what}: the hub knows no such repository or you may not read it; "
            "accept its licence there and set HF_TOKEN."
        ) from None
    except RevisionNotFoundError:
        raise CheckpointMissing(
            f"{what}: the hub has no commit {checkpoint.revision[:12]} of it. "
            "Look its commits up under “Files and versions”."
        ) from None
    except (HfHubHTTPError, OSError) as problem:
        raise CheckpointMissing(f"{what} could not be fetched ({type(problem).__name__}); try again later.") from None


def _hub_reachable(timeout_seconds: float = 0.7) -> bool:
    """Whether trying is worth the wait: the hub client itself retries for half a minute without a network."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return False
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True  # only the proxy knows
    endpoint = urlparse(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    port = endpoint.port or (80 if endpoint.scheme == "http" else 443)
    try:
        with socket.create_connection((endpoint.hostname or "huggingface.co", port), timeout=timeout_seconds):
            return True
    except OSError:
        return False


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def _complete(folder: Path) -> bool:
    """Whether a cached download came to its end: configuration and every shard of the weights."""
    names = {path.name for path in _weights(folder)}
    shards = [found for name in names if (found := SHARD.fullmatch(name))]
    wanted = {
        f"{shard[1]}-{number:05d}-of-{shard[2]}.safetensors"
        for shard in shards
        for number in range(1, int(shard[2]) + 1)
    }
    return bool(names) and wanted <= names and (folder / "config.json").is_file()


def _checked(folder: Path, kind: Kind) -> Path:
    """Refuse a directory that could not be loaded, or only by running what it holds."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        raise CheckpointMissing(
            f"{folder} is no checkpoint: it has no config.json that can be read. Give the directory that holds it."
        ) from None
    found = config.get("model_type") if isinstance(config, dict) else None
    if found != MODEL_TYPES[kind]:
        raise CheckpointMissing(
            f"{folder} holds a model of type {found}, not {MODEL_TYPES[kind]}. "
            f"Give a {kind} checkpoint in transformers' layout."
        )
    if not _weights(folder):
        pickled = [path.name for path in folder.iterdir() if path.suffix in PICKLES]
        why = f"only {pickled[0]}, and pickled weights are not read" if pickled else "no weights"
        raise CheckpointMissing(f"{folder} holds {why}. Save it with save_pretrained, which writes safetensors.")
    return folder


def cached_recognisers(cache: Path | None = None) -> list[Path]:
    """Whisper checkpoints that are complete in the hub's cache on this machine, the largest first.

    Args:
        cache: The hub's cache; by default the one huggingface_hub uses.
    """
    if cache is None:
        from huggingface_hub.constants import HF_HUB_CACHE

        cache = Path(HF_HUB_CACHE)
    found = [config.parent for config in cache.glob("models--*/snapshots/*/config.json") if _is_whisper(config)]
    return sorted(found, key=lambda folder: (-_weight(folder), str(folder)))


def repository_of(snapshot: Path) -> str:
    """What a snapshot in the hub's cache is called: `owner/name@commit`."""
    return f"{snapshot.parent.parent.name.removeprefix('models--').replace('--', '/')}@{snapshot.name[:12]}"


def _is_whisper(config: Path) -> bool:
    folder = config.parent
    try:
        kind = json.loads(config.read_text("utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return False
    words = (folder / "tokenizer.json").is_file() or (folder / "vocab.json").is_file()
    ears = (folder / "preprocessor_config.json").is_file()
    return kind == "whisper" and words and ears and _complete(folder)


def _weight(folder: Path) -> int:
    return sum(path.stat().st_size for path in _weights(folder))
