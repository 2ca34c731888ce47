"""The conversation tab as a person meets it: the real app, the real model, a real browser."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, Route, expect

from studio.presets import load_presets
from tests.browser.steps import (
    TWO_FRAMES,
    add_voice,
    choose_preset,
    fact,
    fill_script,
    generate,
    lines,
    status,
    upload_voice,
    wav,
)

PRESETS = load_presets()
VOICES = Path(__file__).parent.parent.parent / "assets" / "voices"
LONG_SCRIPT = "\n".join(f"Alma: This is line number {number}, and there are many more to come." for number in range(60))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    samples, rate = soundfile.read(VOICES / "hugo.flac")
    path = tmp_path / "my voice.wav"
    soundfile.write(path, samples, rate)
    return path


@pytest.mark.parametrize("key", PRESETS)
def test_every_preset_speaks(studio: Page, key: str):
    choose_preset(studio, PRESETS[key].title)
    expect(studio.get_by_label("Text of line 1", exact=True)).to_have_value(PRESETS[key].draft.rows[0].text)
    generate(studio)
    samples, rate = wav(studio)
    assert rate == 24_000
    assert np.sqrt(np.mean(samples**2)) > 0.003, "silence"
    assert fact(studio, "Checkpoint") == "higgs-audio-v2-mini"
    groups = sum(row is None for row in PRESETS[key].draft.rows) + 1
    expect(studio.locator("#hs-result .hs-switch button")).to_have_count(groups if groups > 1 else 1)


def test_generate_pressed_before_a_preset_has_come_speaks_the_preset(studio: Page):
    """The server's answer is held back until the button has been pressed."""
    held: list[Route] = []
    pressed: list[bool] = []
    studio.route("**/gradio_api/queue/join**", lambda route: route.continue_() if pressed else held.append(route))
    preset = list(PRESETS.values())[1]
    with studio.expect_request("**/gradio_api/queue/join**"):
        choose_preset(studio, preset.title)
    studio.get_by_role("button", name="Generate", exact=True).click()
    pressed.append(True)
    assert held
    for route in held:
        route.continue_()
    expect(studio.get_by_label("Text of line 1", exact=True)).to_have_value(preset.draft.rows[0].text)
    expect(status(studio)).to_have_text(re.compile("^Done: "), timeout=120_000)
    spoken = [row for row in preset.draft.rows if row]
    expect(studio.locator(".hs-row[data-state=done], .hs-row[data-state=flagged]")).to_have_count(len(spoken))


def test_every_row_says_how_long_it_was_spoken_until_its_text_changes(studio: Page):
    generate(studio)
    done = studio.locator(".hs-row[data-state=done], .hs-row[data-state=flagged]")
    expect(done).to_have_count(4)
    expect(done.first.locator(".hs-state")).to_have_text(re.compile(r"^\d+\.\d s$"))
    studio.get_by_label("Text of line 1", exact=True).fill("Something else.")
    expect(done).to_have_count(3)


def test_the_result_plays(studio: Page):
    generate(studio)
    studio.locator("#hs-result").get_by_role("button", name="Play").click()
    expect(studio.locator("#hs-result").get_by_role("button", name="Pause")).to_be_visible()
    expect(studio.locator("#hs-result .hs-time")).not_to_have_text(re.compile(r"^0:00\.0"))
    studio.locator("#hs-result").get_by_role("button", name="Pause").click()


def test_the_same_seed_gives_the_same_sound(studio: Page):
    studio.get_by_role("button", name="Advanced").click()
    studio.get_by_label("Keep this seed").check()  # first: what lies under Advanced is made when it is opened
    studio.get_by_label("Seed", exact=True).fill("4711")
    expect(studio.get_by_label("Seed", exact=True)).to_have_value("4711")
    generate(studio)
    first, _ = wav(studio)
    assert fact(studio, "Seed") == "4711"
    studio.get_by_label("Seed", exact=True).fill("4712")
    generate(studio)
    assert not np.array_equal(first, wav(studio)[0])
    studio.get_by_label("Seed", exact=True).fill("4711")
    generate(studio)
    expect(studio.locator("#hs-result .hs-fact", has=studio.get_by_text("Seed", exact=True))).to_contain_text("4711")
    assert np.array_equal(first, wav(studio)[0])


def test_a_run_can_be_stopped_and_keeps_what_was_spoken(studio: Page):
    fill_script(studio, LONG_SCRIPT)
    studio.get_by_role("button", name="Generate", exact=True).click()
    expect(status(studio)).to_have_text(re.compile(r"^Speaking: \d\d+ frames"))
    studio.get_by_role("button", name="Stop", exact=True).click()
    expect(status(studio)).to_have_text(re.compile(r"^Stopped: "))
    expect(studio.get_by_role("button", name="Generate", exact=True)).to_be_enabled()
    samples, rate = wav(studio)
    assert len(samples) > rate / 4


def test_a_reference_is_uploaded_and_cloned(studio: Page, recording: Path):
    add_voice(studio, recording, "Henry", "Turn left at the church and then go straight on.")
    studio.get_by_label("Voice of speaker 1").select_option(label="Henry")
    expect(studio.locator(".hs-card").first.get_by_text("Turn left at the church")).to_be_visible()
    generate(studio)
    assert len(wav(studio)[0]) > 24_000


def test_a_text_file_named_wav_is_refused_in_words_and_nothing_typed_is_lost(
    studio: Page, recording: Path, tmp_path: Path
):
    fake = tmp_path / "notes.wav"
    fake.write_text("this is no sound at all, only words " * 20)
    add_voice(studio, recording, "Henry", "Turn left at the church and then go straight on.")
    studio.get_by_role("tab", name="Voices").click()
    studio.get_by_label("What is said in it").fill("Words that must stay.")
    upload_voice(studio, fake)
    expect(studio.get_by_text("“notes.wav” is no recording the studio can read")).to_be_visible()
    expect(studio.get_by_label("What is said in it")).to_have_value("Words that must stay.")


def test_an_empty_script_says_what_to_do(studio: Page):
    for _ in range(4):
        studio.get_by_label("Text of line 1", exact=True).hover()
        studio.get_by_label("Remove line 1", exact=True).click()
    expect(studio.get_by_text("No lines yet")).to_be_visible()
    studio.get_by_role("button", name="Generate", exact=True).click()
    expect(status(studio)).to_have_text("There is nothing to speak yet. Type a line, or load a preset.")
    studio.get_by_role("button", name="Undo", exact=True).click()
    expect(studio.get_by_label("Text of line 1", exact=True)).to_be_visible()


def test_a_line_without_words_is_named(studio: Page):
    studio.get_by_label("Text of line 3", exact=True).fill("… !")
    studio.get_by_role("button", name="Generate", exact=True).click()
    expect(status(studio)).to_contain_text("Line 3 has nothing to speak")
    expect(studio.get_by_label("Text of line 3", exact=True)).to_have_value("… !")


def test_rows_are_added_moved_removed_and_had_back_by_keyboard(studio: Page):
    before = lines(studio)
    studio.get_by_label("Text of line 1", exact=True).press("Enter")
    expect(studio.get_by_label("Text of line 2", exact=True)).to_be_focused()
    studio.keyboard.type("A line between.")
    assert lines(studio) == [before[0], "A line between.", *before[1:]]
    studio.keyboard.press("Alt+ArrowDown")
    expect(studio.get_by_label("Text of line 3", exact=True)).to_have_value("A line between.")
    expect(studio.get_by_label("Text of line 3", exact=True)).to_be_focused()
    studio.get_by_label("Remove line 3", exact=True).click()
    assert lines(studio) == before
    studio.get_by_role("button", name="Undo", exact=True).click()
    assert "A line between." in lines(studio)


def test_rows_and_plain_script_stay_in_step(studio: Page):
    studio.get_by_label("Text of line 1", exact=True).fill("First, changed in its row.")
    studio.get_by_role("button", name="Plain script").click()
    script = studio.get_by_label("Plain script", exact=True)
    expect(script).to_have_value(re.compile("^Alma: First, changed in its row\\.\nBruno: "))
    script.fill("Alma: One.\n[SPEAKER1] Two.\nand its rest\n---\nBruno: Three.")
    studio.get_by_role("button", name="Rows", exact=True).click()
    expect(studio.get_by_label("Text of line 2", exact=True)).to_have_value("Two. and its rest")
    assert lines(studio) == ["One.", "Two. and its rest", "Three."]
    expect(studio.locator(".hs-divider")).to_have_count(1)


def test_a_script_that_cannot_be_read_stays_and_says_which_line(studio: Page):
    studio.get_by_role("button", name="Plain script").click()
    script = studio.get_by_label("Plain script", exact=True)
    script.fill("Alma: One.\n[SPEAKER9] Two.")
    expect(studio.locator(".hs-script .hs-problem")).to_contain_text(
        "Line 2 names [SPEAKER9], but the cast ends at [SPEAKER1]"
    )
    studio.get_by_role("button", name="Generate", exact=True).click()
    expect(status(studio)).to_contain_text("Line 2 names [SPEAKER9]")
    studio.get_by_role("button", name="Rows", exact=True).click()
    expect(script).to_have_value("Alma: One.\n[SPEAKER9] Two.")


def test_a_reload_keeps_conversation_voice_and_result(studio: Page, recording: Path):
    add_voice(studio, recording, "Henry", "Turn left at the church and then go straight on.")
    studio.get_by_label("Voice of speaker 1").select_option(label="Henry")
    studio.get_by_label("Text of line 1", exact=True).fill("This must stay.")
    studio.get_by_label("Scene", exact=True).fill("A quiet harbour at dawn.")
    generate(studio)
    before, _ = wav(studio)
    studio.reload()
    expect(studio.get_by_label("Text of line 1", exact=True)).to_have_value("This must stay.")
    expect(studio.get_by_label("Scene", exact=True)).to_have_value("A quiet harbour at dawn.")
    expect(studio.get_by_label("Voice of speaker 1").locator("option:checked")).to_have_text("Henry")
    expect(studio.locator("#hs-result .hs-download")).to_be_visible()
    assert np.array_equal(before, wav(studio)[0])
    studio.get_by_role("button", name="Undo", exact=True).click()  # the way back, too
    expect(studio.get_by_label("Scene", exact=True)).not_to_have_value("A quiet harbour at dawn.")
    expect(studio.get_by_label("Text of line 1", exact=True)).to_have_value("This must stay.")
    studio.get_by_role("button", name="Redo", exact=True).click()
    expect(studio.get_by_label("Scene", exact=True)).to_have_value("A quiet harbour at dawn.")


def test_a_reload_keeps_every_result_of_a_batch(studio: Page):
    choose_preset(studio, PRESETS["6-three-at-once"].title)
    expect(studio.locator(".hs-divider")).to_have_count(2)
    generate(studio)
    expect(studio.locator("#hs-result .hs-switch button")).to_have_count(3)
    studio.reload()
    expect(studio.locator("#hs-result .hs-switch button")).to_have_count(3)


def test_messages_are_exported_and_imported(studio: Page, tmp_path: Path):
    studio.get_by_role("button", name="Chat messages").click()
    studio.get_by_role("button", name="Export messages").click()
    link = studio.locator("#hs-exported a[download], #hs-exported a").first
    expect(link).to_be_visible()
    messages = studio.request.get(link.get_attribute("href")).json()
    assert [message["role"] for message in messages] == [
        "system",
        "scene",
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]
    assert messages[0]["speakers"] == ["Alma", "Bruno"]
    messages[-1]["content"][0]["text"] = "[SPEAKER0] Came back.\n[SPEAKER1] Changed."
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(messages))
    studio.locator("input[type=file][accept='.json']").set_input_files(changed)
    expect(studio.get_by_label("Text of line 1", exact=True)).to_have_value("Came back.")
    assert lines(studio) == ["Came back.", "Changed."]
    expect(studio.get_by_label("Voice of speaker 2").locator("option:checked")).to_contain_text("Bruno")
    expect(studio.get_by_label("Name of speaker 1")).to_have_value("Alma")


def test_several_conversations_travel_as_one_file(studio: Page, tmp_path: Path):
    choose_preset(studio, PRESETS["6-three-at-once"].title)
    expect(studio.locator(".hs-divider")).to_have_count(2)
    before = lines(studio)
    studio.get_by_role("button", name="Chat messages").click()
    studio.get_by_role("button", name="Export messages").click()
    link = studio.locator("#hs-exported a").first
    expect(link).to_be_visible()
    path = tmp_path / "batch.json"
    path.write_bytes(studio.request.get(link.get_attribute("href")).body())
    studio.get_by_role("button", name="Undo", exact=True).click()
    expect(studio.locator(".hs-divider")).to_have_count(0)
    studio.locator("input[type=file][accept='.json']").set_input_files(path)
    expect(studio.locator(".hs-divider")).to_have_count(2)
    assert lines(studio) == before


def test_a_preset_is_had_back_by_one_undo_also_while_the_plain_script_is_open(studio: Page):
    before = lines(studio)
    studio.get_by_role("button", name="Plain script").click()
    script = studio.get_by_label("Plain script", exact=True)
    expect(script).to_have_value(re.compile("^Alma: "))
    choose_preset(studio, "Clone one voice")
    expect(script).to_have_value(re.compile("^Clara: "))
    studio.get_by_role("button", name="Undo", exact=True).click()
    expect(script).to_have_value(re.compile("^Alma: "))
    studio.get_by_role("button", name="Redo", exact=True).click()
    expect(script).to_have_value(re.compile("^Clara: "))
    studio.get_by_role("button", name="Undo", exact=True).click()
    expect(script).to_have_value(re.compile("^Alma: "))
    studio.get_by_role("button", name="Rows", exact=True).click()
    expect(studio.get_by_label("Text of line 1", exact=True)).to_be_visible()
    assert lines(studio) == before


def test_a_renamed_speaker_is_renamed_in_the_plain_script(studio: Page):
    studio.get_by_role("button", name="Plain script").click()
    script = studio.get_by_label("Plain script", exact=True)
    expect(script).to_have_value(re.compile("^Alma: "))
    studio.get_by_label("Name of speaker 1").fill("Amelia")
    studio.get_by_label("Name of speaker 1").press("Tab")
    expect(script).to_have_value(re.compile("^Amelia: "))


def test_a_script_that_cannot_be_read_survives_a_reload(studio: Page):
    studio.get_by_role("button", name="Plain script").click()
    script = studio.get_by_label("Plain script", exact=True)
    script.fill("Alma: Good.\nZed: precious and not yet in order")
    expect(studio.locator(".hs-script .hs-problem")).to_contain_text("“Zed”, who is not in the cast")
    studio.reload()
    expect(script).to_have_value("Alma: Good.\nZed: precious and not yet in order")


def test_what_is_typed_is_had_back_step_by_step(studio: Page):
    before = lines(studio)
    studio.get_by_label("Text of line 1", exact=True).fill("Typed over.")
    studio.get_by_role("button", name="+ Speaker").click()
    undo = studio.get_by_role("button", name="Undo", exact=True)
    undo.click()
    expect(studio.locator(".hs-card")).to_have_count(2)
    assert lines(studio)[0] == "Typed over."
    undo.click()
    expect(studio.get_by_label("Text of line 1", exact=True)).to_have_value(before[0])


def test_a_removed_speakers_lines_are_told_about(studio: Page):
    studio.get_by_role("button", name="Remove speaker 2").click()
    expect(studio.get_by_text("Bruno’s 2 lines are now spoken by Alma.")).to_be_visible()


def test_a_remembered_draft_that_cannot_be_read_does_not_hinder(studio: Page):
    studio.evaluate("""window.addEventListener("pagehide", () => [localStorage, sessionStorage].forEach((memory) =>
        memory.setItem("higgs-studio:draft", JSON.stringify({draft: {scene: "x", from: "another version"}}))))""")
    studio.reload()
    expect(studio.get_by_text("What this browser remembered could not be read")).to_be_visible()
    expect(studio.get_by_label("Text of line 1", exact=True)).to_be_visible()


def test_a_waiting_job_is_stopped_at_once(studio: Page, studio_url: str):
    other = studio.context.new_page()
    other.goto(studio_url)
    for page in (studio, other):
        fill_script(page, LONG_SCRIPT)
    studio.get_by_role("button", name="Generate", exact=True).click()
    expect(status(studio)).to_have_text(re.compile("^Speaking"))
    other.get_by_role("button", name="Generate", exact=True).click()
    expect(status(other)).to_have_text("Waiting for one other to finish …")
    other.get_by_role("button", name="Stop", exact=True).click()
    expect(status(other)).to_have_text("It was stopped while it waited.")
    studio.get_by_role("button", name="Stop", exact=True).click()
    expect(status(studio)).to_have_text(re.compile("^Stopped: "))


def test_markup_in_what_people_send_stays_text(studio: Page, tmp_path: Path):
    evil = "<img src='http://evil.example/y.png' onerror='alert(1)'>"
    path = tmp_path / "evil.json"
    audio = {"type": "audio", "audio_url": f"zz:{evil}"}
    turns = [("system", "Speak."), ("user", "Hello."), ("assistant", audio), ("user", "Hi.")]
    path.write_text(json.dumps([{"role": role, "content": content} for role, content in turns]))
    studio.get_by_role("button", name="Chat messages").click()
    studio.locator("input[type=file][accept='.json']").set_input_files(path)
    expect(studio.get_by_text("Remote files are not fetched")).to_be_visible()
    studio.get_by_label("Name of speaker 1").fill(evil[:40])
    studio.get_by_label("Scene", exact=True).fill(evil)
    studio.get_by_label("Text of line 1", exact=True).fill(f"Hello {evil} <|eot_id|> there.")
    generate(studio)
    expect(studio.get_by_text("<|eot_id|> is read as ordinary text")).to_be_visible()
    assert studio.locator("img[src*=evil]").count() == 0


def test_an_import_that_names_a_remote_file_is_refused(studio: Page, tmp_path: Path):
    before = lines(studio)
    remote = tmp_path / "remote.json"
    audio = {"type": "audio", "audio_url": "https://example.org/voice.wav"}
    remote.write_text(
        json.dumps(
            [
                {"role": "system", "content": "Speak."},
                {"role": "user", "content": "Hello."},
                {"role": "assistant", "content": audio},
                {"role": "user", "content": "Hi."},
            ]
        )
    )
    studio.get_by_role("button", name="Chat messages").click()
    studio.locator("input[type=file][accept='.json']").set_input_files(remote)
    expect(studio.get_by_text("Remote files are not fetched")).to_be_visible()
    assert lines(studio) == before


def test_nothing_is_wider_than_a_phone(studio: Page):
    studio.set_viewport_size({"width": 390, "height": 844})
    generate(studio)
    widest = studio.evaluate("document.documentElement.scrollWidth")
    assert widest <= 390
    expect(studio.locator("#hs-result canvas")).to_be_visible()


def test_every_control_has_a_name(studio: Page):
    for fold in ("Advanced", "Chat messages"):
        studio.get_by_role("button", name=fold).click()
    nameless = (
        studio.locator(".hs-cast, .hs-script, .hs-sound")
        .locator("button, select, input, textarea")
        .evaluate_all(
            """controls => controls.filter(one => !(one.getAttribute("aria-label")
            || [...(one.closest("label")?.childNodes ?? [])].some(part => part !== one && part.textContent.trim())
            || (one.tagName === "BUTTON" && one.innerText.trim()))).map(one => one.outerHTML)"""
        )
    )
    assert nameless == []


def test_a_pasted_script_stays_and_brings_its_speakers_along(studio: Page):
    studio.get_by_role("button", name="Plain script").click()
    script = studio.get_by_label("Plain script", exact=True)
    expect(script).to_have_value(re.compile("^Alma: "))
    script.fill("Mira: Good evening.\nTom: You are late.\nMira: I know.")
    expect(studio.locator(".hs-script .hs-problem")).to_contain_text("“Mira”, who is not in the cast")
    studio.get_by_role("button", name="+ Speaker").click()
    expect(studio.locator(".hs-card")).to_have_count(3)
    expect(script).to_have_value(re.compile("^Mira: Good evening"))
    studio.get_by_role("button", name="Add Mira, Tom to the cast").click()
    expect(studio.locator(".hs-script .hs-problem")).to_be_hidden()
    studio.get_by_role("button", name="Rows", exact=True).click()
    assert lines(studio) == ["Good evening.", "You are late.", "I know."]
    expect(studio.get_by_label("Speaker of line 2", exact=True).locator("option:checked")).to_have_text("Tom")


def test_undo_goes_back_from_a_script_that_cannot_be_read(studio: Page):
    before = lines(studio)
    studio.get_by_role("button", name="Plain script").click()
    script = studio.get_by_label("Plain script", exact=True)
    expect(script).to_have_value(re.compile("^Alma: "))
    script.fill("Zed: Who is that?")
    expect(studio.locator(".hs-script .hs-problem")).to_be_visible()
    studio.get_by_role("button", name="Undo", exact=True).click()
    expect(script).to_have_value(re.compile("^Alma: "))
    studio.get_by_role("button", name="Rows", exact=True).click()
    expect(studio.get_by_label("Text of line 1", exact=True)).to_be_visible()
    assert lines(studio) == before


def test_a_voice_added_while_the_page_is_still_asking_for_the_others_stays_in_the_cast(studio: Page):
    """The server's answer about the voices of before is held back until the new one has come."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route) if "own_voices" in (route.request.post_data or "") else route.continue_()

    studio.route("**/component_server**", hold)
    with studio.expect_request(lambda request: "own_voices" in (request.post_data or "")):
        studio.reload()
    with_new = """() => {
      const made = { id: "own:new", name: "Newcomer", seconds: 3, transcript: "Hello.", outline: [0.5], notes: [] };
      dispatchEvent(new CustomEvent("higgs-studio:voices", { detail: { voices: [made], own: [made.id] } }));
    }"""
    studio.evaluate(with_new)
    with studio.expect_response(lambda answer: "own_voices" in (answer.request.post_data or "")):
        held[0].continue_()
    studio.evaluate(TWO_FRAMES)
    expect(studio.get_by_label("Voice of speaker 1").locator("option", has_text="Newcomer")).to_have_count(1)


def test_the_recording_of_a_voice_is_heard_in_the_cast(studio: Page):
    hear = studio.get_by_label("Hear the recording of speaker 1")
    with studio.expect_response("**/files/**/voice.wav") as sent:
        hear.click()
    samples, rate = soundfile.read(io.BytesIO(sent.value.body()), dtype="float32")
    original, original_rate = soundfile.read(VOICES / "alma.flac", dtype="float32")
    assert rate == original_rate
    assert np.array_equal(samples, original), "as the model is given it"
    expect(hear).to_have_text("■")
    hear.click()
    expect(hear).to_have_text("▶")
    hear.click()
    expect(hear).to_have_text("■")
    expect(hear).to_have_text("▶", timeout=20_000)  # it is over after three seconds
