"""Weights are found on this machine or asked for in one sentence; pickles and unpinned commits are refused."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from studio.checkpoints import (
    CHECKPOINTS,
    COMMIT,
    FILES,
    MODEL_TYPES,
    Checkpoint,
    find_checkpoint,
    locate,
    tokenizer_of,
)
from studio.engine.local import LocalEngine, choose_device
from studio.errors import BadSetting, CheckpointMissing

ROOT = Path(__file__).parent.parent
SHA = "0123456789abcdef0123456789abcdef01234567"
MINI = CHECKPOINTS["mini"].folder
CODEC = CHECKPOINTS["tokenizer-mini"].folder


def put_in_cache(cache: Path, repo_id: str, sha: str, source: Path, files: list[str] | None = None) -> Path:
    """The hub's cache layout by hand: blobs, a snapshot of links to them, and the branch that names it."""
    repo = cache / f"models--{repo_id.replace('/', '--')}"
    snapshot = repo / "snapshots" / sha
    (repo / "blobs").mkdir(parents=True, exist_ok=True)
    (repo / "refs").mkdir(exist_ok=True)
    snapshot.mkdir(parents=True)
    (repo / "refs" / "main").write_text(sha)
    for path in source.iterdir():
        if files is None or path.name in files:
            blob = repo / "blobs" / path.name.encode().hex()
            shutil.copy(path, blob)
            (snapshot / path.name).symlink_to(os.path.relpath(blob, snapshot))
    return snapshot


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))  # read from HF_HUB_CACHE at import
    return folder


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Connections that were tried; none succeeds."""
    tried: list[Any] = []

    def refuse(address: Any, *_: Any, **__: Any) -> None:
        tried.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "create_connection", refuse)
    for name in ("HF_HUB_OFFLINE", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    return tried


# ---- the table ----


@pytest.mark.parametrize("checkpoint", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_every_checkpoint_says_what_it_is_and_can_be_pinned(checkpoint: Checkpoint):
    assert CHECKPOINTS[checkpoint.key] is checkpoint
    assert checkpoint.title
    assert checkpoint.licence
    assert checkpoint.about.endswith(".")
    if checkpoint.folder:
        assert (checkpoint.folder / "config.json").is_file()
    else:
        assert checkpoint.download_gb > 0
        assert checkpoint.gpu_memory_gb > 0
        assert COMMIT.fullmatch(checkpoint.revision) or checkpoint.revision_setting
    if checkpoint.kind == "generation":
        assert CHECKPOINTS[checkpoint.tokenizer].kind == "tokenizer"


def test_bundled_checkpoints_are_safetensors_and_text():
    files = [path for path in (ROOT / "assets" / "mini").glob("*/*") if path.is_file()]
    assert any(path.suffix == ".safetensors" for path in files)
    assert {path.suffix for path in files} <= {".json", ".jinja", ".safetensors", ".md", ".txt"}


def test_a_non_commercial_licence_is_said():
    assert "non-commercial" in CHECKPOINTS["xcodec2"].licence


# ---- names ----


def test_a_key_a_directory_or_a_commit_names_a_checkpoint(tmp_path: Path):
    assert find_checkpoint("mini", "generation") is CHECKPOINTS["mini"]
    folder = find_checkpoint(str(tmp_path), "generation")
    assert (folder.folder, folder.tokenizer, folder.source) == (tmp_path, "", tmp_path.name)
    (tmp_path / "audio_tokenizer").mkdir()
    assert find_checkpoint(str(tmp_path), "generation").tokenizer == str(tmp_path / "audio_tokenizer")
    pinned = find_checkpoint(f"someone/a-model@{SHA}", "generation")
    assert (pinned.repo_id, pinned.revision, pinned.source) == ("someone/a-model", SHA, f"someone/a-model@{SHA[:12]}")


@pytest.mark.parametrize("name", ["nothing", "a/b/c", "", "./mini/", "https://hub/a/b", "a b/c", "~nobody-here/x/y"])
def test_a_name_that_is_none_of_these_is_told_what_there_is(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointMissing, match="Give mini, 3b, a directory, or OWNER/NAME@COMMIT"):
        find_checkpoint(name, "generation")


def test_a_checkpoint_of_another_kind_is_refused():
    with pytest.raises(CheckpointMissing, match="“xcodec2” is a xcodec2 checkpoint, not a generation one"):
        find_checkpoint("xcodec2", "generation")


# ---- directories ----


def test_a_bundled_checkpoint_is_its_own_directory(calls: list):
    assert locate(CHECKPOINTS["mini"]) == MINI
    assert calls == []


def directory(folder: Path, model_type: str | None = "higgs_audio_v2", *files: str) -> Checkpoint:
    if model_type is not None:
        (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    for name in files:
        (folder / name).write_bytes(b"")
    return find_checkpoint(str(folder), "generation")


@pytest.mark.parametrize("pickle", ["pytorch_model.bin", "model.pth", "model.pt", "model.ckpt", "model.pkl"])
def test_a_directory_of_pickles_is_refused(tmp_path: Path, pickle: str):
    with pytest.raises(CheckpointMissing, match=f"holds only {pickle}, and pickled weights are not read. Save it with"):
        locate(directory(tmp_path, "higgs_audio_v2", pickle))


def test_a_directory_without_weights_or_configuration_is_refused(tmp_path: Path):
    with pytest.raises(CheckpointMissing, match=r"is no checkpoint: it has no config.json"):
        locate(directory(tmp_path, None, "model.safetensors"))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointMissing, match="holds no weights"):
        locate(directory(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointMissing, match=r"no config.json that can be read"):
        locate(directory(tmp_path, None, "model.safetensors"))


@pytest.mark.parametrize("model_type", ["higgs_audio", "llama", "higgs_audio_v2_tokenizer"])
def test_a_directory_of_another_model_is_refused_by_its_type(tmp_path: Path, model_type: str):
    words = f"holds a model of type {model_type}, not higgs_audio_v2. Give a generation checkpoint"
    with pytest.raises(CheckpointMissing, match=words):
        locate(directory(tmp_path, model_type, "model.safetensors"))


def test_the_types_are_those_of_transformers():
    from transformers import HiggsAudioV2Config, HiggsAudioV2TokenizerConfig, Xcodec2Config

    configs = {"generation": HiggsAudioV2Config, "tokenizer": HiggsAudioV2TokenizerConfig, "xcodec2": Xcodec2Config}
    assert {kind: config.model_type for kind, config in configs.items()} == MODEL_TYPES


# ---- the hub's cache ----


def test_checkpoints_in_the_hubs_cache_load_like_any_other_without_a_network(cache: Path, calls: list):
    put_in_cache(cache, "someone/speaker", SHA, MINI)
    put_in_cache(cache, "someone/codec", SHA, CODEC)
    speaker = find_checkpoint(f"someone/speaker@{SHA}", "generation")
    engine = LocalEngine.load(speaker, tokenizer=f"someone/codec@{SHA}", device="cpu")
    assert engine.checkpoint.source == f"someone/speaker@{SHA[:12]}"
    assert engine.codec.sample_rate == 24_000
    assert calls == []


def test_the_published_checkpoint_is_found_at_the_commit_that_is_set(cache: Path, monkeypatch: pytest.MonkeyPatch):
    snapshot = put_in_cache(cache, CHECKPOINTS["3b"].repo_id, SHA, MINI)
    monkeypatch.setenv("HIGGS_REVISION", SHA)
    assert locate(CHECKPOINTS["3b"]) == snapshot


@pytest.mark.parametrize("revision", ["", "main", "v1.0", SHA[:12], SHA.upper(), SHA + "0"])
def test_only_a_whole_commit_will_do(revision: str, calls: list):
    with pytest.raises(
        CheckpointMissing, match=r"someone/a is only loaded at a pinned commit: .* write someone/a@COMMIT"
    ):
        locate(find_checkpoint(f"someone/a@{revision}", "generation"))
    assert calls == []


def test_the_published_checkpoint_says_which_setting_it_needs(monkeypatch: pytest.MonkeyPatch, calls: list):
    monkeypatch.delenv("HIGGS_REVISION", raising=False)
    with pytest.raises(CheckpointMissing, match=r"look the 40 hex digits up .* and set HIGGS_REVISION to it"):
        locate(CHECKPOINTS["3b"])
    assert calls == []


@pytest.mark.parametrize(
    "files", [["config.json"], ["model.safetensors"], ["config.json", "model-00001-of-00002.safetensors"]]
)
def test_a_download_that_broke_off_counts_as_missing(cache: Path, calls: list, tmp_path: Path, files: list[str]):
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_text('{"model_type": "higgs_audio_v2"}')
    for name in ("model.safetensors", "model-00001-of-00002.safetensors"):
        (source / name).write_bytes(b"")
    put_in_cache(cache, "someone/a", SHA, source, files)
    with pytest.raises(CheckpointMissing, match="is not on this machine and the hub cannot be reached"):
        locate(find_checkpoint(f"someone/a@{SHA}", "generation"))


def test_all_shards_of_a_download_count_as_here(cache: Path, tmp_path: Path):
    (tmp_path / "config.json").write_text('{"model_type": "higgs_audio_v2"}')
    for number in (1, 2):
        (tmp_path / f"model-0000{number}-of-00002.safetensors").write_bytes(b"")
    files = [path.name for path in tmp_path.iterdir() if path.is_file()]
    snapshot = put_in_cache(cache, "someone/a", SHA, tmp_path, files)
    assert locate(find_checkpoint(f"someone/a@{SHA}", "generation")) == snapshot


# ---- the hub ----


def test_a_missing_checkpoint_is_one_sentence_with_the_remedy_after_one_try(cache: Path, calls: list):
    told: list[str] = []
    with pytest.raises(CheckpointMissing) as problem:
        locate(CHECKPOINTS["tokenizer"], told.append)
    assert str(problem.value) == (
        "Higgs Audio V2 tokenizer (bosonai/higgs-audio-v2-tokenizer, 0.8 GB) is not on this machine and the hub cannot "
        "be reached: run “hf download bosonai/higgs-audio-v2-tokenizer --revision "
        "403fbacf2f60caaa102f893fdfabb694619b2417” where there is a network, or start with --checkpoint mini."
    )
    assert calls == [("huggingface.co", 443)]
    assert told == []


def test_a_mirror_is_what_is_tried(cache: Path, calls: list, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.lan:8080")
    with pytest.raises(CheckpointMissing):
        locate(CHECKPOINTS["tokenizer"])
    assert calls == [("hub.lan", 8080)]


def test_offline_a_missing_checkpoint_is_said_at_once_and_nothing_is_tried(tmp_path: Path):
    code = (
        "import socket, time\n"
        "socket.create_connection = socket.socket.connect = lambda *a, **k: print('TRIED')\n"
        "from studio.checkpoints import CHECKPOINTS, locate\n"
        "import huggingface_hub.errors\n"
        "started = time.perf_counter()\n"
        "try: locate(CHECKPOINTS['tokenizer'])\n"
        "except Exception as problem: print(type(problem).__name__, str(problem).count('\\n'))\n"
        "print(time.perf_counter() - started)\n"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path), "PYTHONPATH": str(ROOT)}
    told = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout
    what, seconds = told.splitlines()
    assert what == "CheckpointMissing 0"
    assert float(seconds) < 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("RepositoryNotFoundError", "the hub knows no such repository or you may not read it"),
        ("GatedRepoError", "accept its licence there and set HF_TOKEN"),
        ("RevisionNotFoundError", "the hub has no commit 403fbacf2f60"),
        ("HfHubHTTPError", r"could not be fetched \(HfHubHTTPError\); try again later"),
        ("OSError", r"could not be fetched \(OSError\); try again later"),
    ],
)
def test_what_the_hub_refuses_is_said_in_words(cache: Path, monkeypatch: pytest.MonkeyPatch, error: str, words: str):
    import httpx2
    import huggingface_hub.errors

    def fail(*_: Any, local_files_only: bool = False, **__: Any) -> str:
        if local_files_only:
            raise huggingface_hub.errors.LocalEntryNotFoundError("not cached")
        kind = getattr(huggingface_hub.errors, error, OSError)
        raise (
            kind("no")
            if kind is OSError
            else kind("no", response=httpx2.Response(404, request=httpx2.Request("GET", "https://hub")))
        )

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    monkeypatch.setattr("studio.checkpoints._hub_reachable", lambda: True)
    with pytest.raises(CheckpointMissing, match=words):
        locate(CHECKPOINTS["tokenizer"])


def test_only_safe_files_of_the_pinned_commit_are_fetched_and_it_is_said(cache: Path, monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked: list[tuple[str, dict]] = []

    def download(repo_id: str, **how: Any) -> str:
        if how.get("local_files_only"):
            raise LocalEntryNotFoundError("not cached")
        asked.append((repo_id, how))
        return str(CODEC)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr("studio.checkpoints._hub_reachable", lambda: True)
    told: list[str] = []
    checkpoint = CHECKPOINTS["tokenizer"]
    assert locate(checkpoint, told.append) == CODEC
    ((repo_id, how),) = asked
    assert (repo_id, how["revision"], how["allow_patterns"]) == (checkpoint.repo_id, checkpoint.revision, list(FILES))
    assert told == ["Fetching Higgs Audio V2 tokenizer (bosonai/higgs-audio-v2-tokenizer, 0.8 GB) at 403fbacf2f60 …"]


# ---- device and number type ----


def test_the_device_is_chosen_and_the_number_type_follows():
    expected = ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)
    assert choose_device("auto", "auto") == expected
    assert choose_device("cpu", "auto") == ("cpu", torch.float32)
    assert choose_device("cpu", "bfloat16") == ("cpu", torch.bfloat16)


@pytest.mark.parametrize("device", ["gpu", "", "cpu:abc", "cuda:", "cuda:x", "CUDA", "cpu:0 "])
def test_a_device_that_does_not_exist_is_told_those_that_do(device: str):
    with pytest.raises(BadSetting, match=r"There is no device .*Choose auto, cpu, cuda"):
        choose_device(device, "auto")


def test_a_device_this_machine_lacks_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(BadSetting, match=r"no usable CUDA device. Start with --device cpu"):
        choose_device("cuda:1", "auto")
    with pytest.raises(BadSetting, match=r"no usable Metal device. Start with --device cpu"):
        choose_device("mps", "auto")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1", "auto") == ("cuda:1", torch.bfloat16)
    with pytest.raises(BadSetting, match="This machine has no cuda:2: its CUDA devices are counted from 0 to 1"):
        choose_device("cuda:2", "auto")


@pytest.mark.parametrize("dtype", ["float16", "fp32", "", "float64", "auto "])
def test_a_number_type_that_does_not_exist_is_told_those_that_do(dtype: str):
    with pytest.raises(BadSetting, match=r"There is no number type .*Choose auto, float32 or bfloat16"):
        choose_device("cpu", dtype)


def test_a_directory_without_a_known_audio_tokenizer_asks_which(tmp_path: Path):
    checkpoint = find_checkpoint(str(tmp_path), "generation")
    with pytest.raises(CheckpointMissing, match="Which audio tokenizer belongs to"):
        tokenizer_of(checkpoint)
    assert tokenizer_of(checkpoint, "tokenizer-mini").key == "tokenizer-mini"
