"""Speak without a page: a preset, or a script of your own.

    python -m studio.speak presets/1-two-friends.json -o out/friends.wav
    python -m studio.speak --text "Alma: Good morning." -o out/morning.wav
    python -m studio.speak script.txt --voice Ada=clara --voice "Ben=described: an old man" -o out/scene.wav
    echo "Good morning." | python -m studio.speak - --voice alma -o out/morning.wav

Prints the facts as JSON. The same engine, prompt and codec as the page's.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from studio.audio import write_wav
from studio.checkpoints import find_checkpoint, locate
from studio.draft import Draft, voice_in_words
from studio.errors import BadConversation, BadSetting, StudioError
from studio.pauses import pause, without_pauses
from studio.presets import Preset
from studio.sampling import Sampling, fresh_seed
from studio.script_files.reading import read_script_file, read_script_text
from studio.settings import add_engine_arguments, engine_options
from studio.speech import SpeechRequest, readings_of
from studio.takes import Reading
from studio.text import WORDS_OF_A_LINE
from studio.voice_library import VoiceLibrary
from studio.voices import MAX_NAME_CHARACTERS
from studio.workspace import Workspace

VOICES = Path(__file__).parent.parent / "assets" / "voices"
STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Wanted:
    """What is to be spoken."""

    draft: Draft
    sampling: Sampling = Sampling()  # noqa: RUF009  a frozen value
    seed: int | None = None  # of a preset that is about this very seed


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m studio.speak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "source",
        nargs="?",
        help="a preset (.json), or a script: a file (.txt, .srt, .csv, .docx …), or - for standard input",
    )
    source.add_argument(
        "--text", action="append", metavar="LINE", help="a line of a script, “Alma: Good morning.”; may come again"
    )
    parser.add_argument(
        "--voice",
        action="append",
        default=[],
        metavar="NAME=VOICE",
        help="who of a script speaks how: Alma=bundled:clara, “Ben=described: an old man”, or Ben=smart (the model's "
        "choice); without NAME= it is for everybody else. Whoever is called like a bundled voice has that voice",
    )
    parser.add_argument(
        "--say",
        action="append",
        default=[],
        metavar="WORD=SPOKEN",
        help="how a word of the script is spoken, “Nguyen = Win”; may come again",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="the WAV file to write; its folder is made")
    parser.add_argument("--seed", type=int, help="the same seed gives the same speech; without one, one is drawn")
    add_engine_arguments(parser)
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: see app.py
    try:
        readings, memory = _speak(chosen)
        paths = _write(readings, chosen.output)
    except StudioError as problem:
        print(f"studio.speak: {problem}", file=sys.stderr)
        return 1
    facts = [
        reading.facts() | {"peak_memory_gb": round(memory / 1e9, 2), "file": str(path)}
        for reading, path in zip(readings, paths, strict=True)
    ]
    print(json.dumps(facts if len(facts) > 1 else facts[0], indent=2, ensure_ascii=False))
    return 0


def _speak(chosen: argparse.Namespace) -> tuple[list[Reading], int]:
    if chosen.output.suffix.lower() != ".wav":
        raise BadSetting(f"What is written is a WAV file. Give a name that ends in .wav, not {chosen.output.name}.")
    checkpoint = find_checkpoint(chosen.checkpoint, "generation")
    with tempfile.TemporaryDirectory() as folder:
        library = VoiceLibrary(VOICES, Workspace(Path(folder)))
        wanted = _wanted(chosen, library, checkpoint.line_words or WORDS_OF_A_LINE)
        conversations = wanted.draft.conversations(library)
    seeds = (chosen.seed, wanted.seed, fresh_seed())
    sampling = wanted.sampling.with_seed(next(seed for seed in seeds if seed is not None))
    _make_place(chosen.output)
    locate(checkpoint)  # a missing one is said at once: torch, which comes next, takes seconds to import
    from studio.engine.local import LocalEngine

    engine = LocalEngine.load(
        checkpoint,
        **engine_options(chosen),
        say=lambda text: print(text, file=sys.stderr),
    )
    draft = wanted.draft
    request = SpeechRequest(tuple(conversations), sampling, draft.way, context=draft.context, seeds=draft.seeds)
    for step in engine.speak(request):
        if isinstance(step, tuple):
            return readings_of(request, step), engine.peak_memory_bytes
    raise AssertionError("the engine ends with what was heard")


def _make_place(output: Path) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        writable = not output.is_dir() and os.access(output.parent, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise BadSetting(f"{output} is no file that can be written. Give another name.")


def _wanted(chosen: argparse.Namespace, library: VoiceLibrary, most_words: int) -> Wanted:
    """A preset as it stands, or a script with the voices that were asked for."""
    if chosen.source and chosen.source != STANDARD_INPUT and Path(chosen.source).suffix.lower() == ".json":
        if chosen.voice or chosen.say:
            raise BadSetting("--voice and --say are for scripts: a preset says these things itself.")
        preset = Preset.read(Path(chosen.source))
        return Wanted(preset.draft, preset.sampling, preset.seed)
    asked = dict(_asked(words) for words in chosen.voice)
    everybody = asked.pop("", "")
    known = library.by_name()
    voices = {name: _voice(voice, known) for name, voice in asked.items()}
    cast = Draft.read({"speakers": [{"name": name} | voice for name, voice in voices.items()]}, "--voice")
    script = _script(chosen, cast)
    unheard = [name for name in asked if name.casefold() not in {speaking.casefold() for speaking in script.names}]
    if unheard:
        raise BadSetting(
            f"--voice: nobody called “{unheard[0]}” speaks in the script. There are: {', '.join(script.names)}."
        )
    others = _voice(everybody, known) if everybody else {}
    named = {name.casefold() for name in asked}
    speakers = tuple(
        speaker if name.casefold() in named else speaker | (others or voice_in_words(name, known) or {})
        for name, speaker in zip(script.names, script.speakers, strict=True)
    )
    whole = replace(script, speakers=speakers, pronunciations="\n".join(chosen.say))
    draft = whole.with_short_rows(most_words).with_ids()
    if any(len(without_pauses(row.text).split()) > most_words for row in filter(None, whole.rows)):
        print(
            f"note  Lines of more than {most_words} words are spoken in pieces: longer ones come out less reliably.",
            file=sys.stderr,
        )
    voiced = ", ".join(f"{name} ({draft.voice_of(index)})" for index, name in enumerate(draft.names))
    print(f"Speaking: {voiced}. Another voice: --voice NAME=VOICE.", file=sys.stderr)
    return Wanted(draft)


def _asked(words: str) -> tuple[str, str]:
    """Who, and in which voice; nobody in particular where there is no name."""
    name, equals, voice = words.partition("=")
    name, voice = (name, voice) if equals else ("", name)
    if not voice.strip() or (equals and not name.strip()) or len(name) > MAX_NAME_CHARACTERS:
        raise BadSetting(f"--voice must be NAME=VOICE, for example Alma=bundled:clara, not “{words[:60]}”.")
    return " ".join(name.split()), voice.strip()


def _voice(voice: str, known: Mapping[str, str]) -> dict[str, str]:
    """A voice as a draft has it."""
    found = voice_in_words(voice, known)
    if found is None:
        ids = ", ".join(dict.fromkeys(known.values()))
        raise BadSetting(
            f"--voice: there is no voice “{voice[:60]}”. Take {ids}, “described: an old man”, or smart (the model's "
            "choice)."
        )
    return found


def _script(chosen: argparse.Namespace, cast: Draft) -> Draft:
    if chosen.text:
        return read_script_text("\n".join(chosen.text), cast).draft
    if chosen.source == STANDARD_INPUT:
        try:
            return read_script_text(sys.stdin.read(), cast).draft
        except UnicodeDecodeError:
            raise BadConversation("What comes by standard input is no text. Send it as UTF-8.") from None
    path = Path(chosen.source)
    if not path.is_file():
        raise BadSetting(f"There is no file “{chosen.source[:200]}”. A text is spoken with --text.")
    read = read_script_file(path, cast)
    waits = {row: f"{pause(seconds)} " for row, seconds in read.gaps.items() if seconds >= 0}  # nothing overlaps here
    rows = (row and replace(row, text=waits.get(row.id, "") + row.text) for row in read.draft.rows)
    return replace(read.draft, rows=tuple(rows))


def _write(readings: list[Reading], output: Path) -> list[Path]:
    """One file a reading: OUT.wav, or OUT-1.wav, OUT-2.wav … when there are several."""
    several = len(readings) > 1
    paths = [
        output.with_name(f"{output.stem}-{number}{output.suffix}") if several else output
        for number in range(1, len(readings) + 1)
    ]
    for reading, path in zip(readings, paths, strict=True):
        write_wav(reading.audio, path)
    return paths


if __name__ == "__main__":
    sys.exit(main())
