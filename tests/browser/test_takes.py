"""Takes, timeline and jobs as a person meets them."""

import re

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from studio.audio import Audio
from studio.lab.metrics import loudness_lufs
from tests.browser.steps import fact, fill_script, generate, status, told, wav


def takes(page: Page) -> Locator:
    """The takes of the line that is chosen."""
    return page.locator(".hs-take")


def choose_line(page: Page, number: int) -> None:
    """Put the cursor into a line, so that its takes are shown."""
    page.get_by_label(f"Text of line {number}", exact=True).focus()
    expect(page.locator(".hs-take-line h3")).to_contain_text(f"Line {number} ·")


def speak_alone(page: Page, number: int) -> None:
    """Press the row's own button and wait until it is done."""
    page.get_by_label(f"Text of line {number}", exact=True).hover()
    with told(page, "Done: "):
        page.get_by_label(f"Speak line {number}", exact=True).click()


def silence_before(page: Page) -> float:
    """Seconds of silence before the line that is chosen."""
    return float(page.get_by_label("Silence before it").input_value())


def test_one_line_is_spoken_again_and_the_takes_are_kept_chosen_starred_deleted_and_had_back(studio: Page):
    generate(studio)
    first, _ = wav(studio)
    speak_alone(studio, 2)
    choose_line(studio, 2)
    expect(takes(studio)).to_have_count(2)
    expect(takes(studio).nth(1)).to_have_attribute("data-chosen", "")
    again, _ = wav(studio)
    assert not np.array_equal(first, again)
    assert fact(studio, "Seed") == "one for each take"

    studio.get_by_label("Hear take 1 in the mix").check()
    expect(takes(studio).nth(0)).to_have_attribute("data-chosen", "")
    back, _ = wav(studio)
    assert np.array_equal(first, back), "the mix with the first take is the first mix, sample by sample"

    studio.get_by_label("Star take 2").click()
    expect(studio.get_by_label("Star take 2")).to_have_attribute("aria-pressed", "true")
    studio.get_by_label("Delete take 2").click()
    expect(takes(studio)).to_have_count(1)
    studio.get_by_role("button", name="Undo this edit").click()
    expect(takes(studio)).to_have_count(2)

    studio.reload()
    expect(studio.locator("#hs-result canvas")).to_be_visible()
    choose_line(studio, 2)
    expect(takes(studio)).to_have_count(2)
    expect(studio.get_by_label("Star take 2")).to_have_attribute("aria-pressed", "true")
    assert np.array_equal(first, wav(studio)[0])


def test_four_takes_are_spoken_at_once_and_two_of_them_compared_at_one_position(studio: Page):
    speak_alone(studio, 1)
    choose_line(studio, 1)
    studio.get_by_role("button", name="4 takes").click()
    expect(takes(studio)).to_have_count(5, timeout=60_000)
    expect(studio.locator(".hs-row[data-id]").first.locator(".hs-state")).to_contain_text("· 5")
    expect(takes(studio).last).to_contain_text("fit -")
    studio.get_by_label("Compare take 2").check()
    studio.get_by_label("Compare take 4").check()
    expect(studio.locator(".hs-take-compare")).to_have_text(["A/B", "A", "A/B", "B", "A/B"])
    expect(takes(studio).filter(has_text="new · ")).to_have_count(4)
    expect(studio.locator(".hs-compared")).to_contain_text("% of the codes differ")
    studio.get_by_role("button", name="Play both takes").click()
    choice = studio.locator(".hs-compared .hs-switch button")
    choice.nth(1).click()
    expect(choice.nth(1)).to_have_attribute("aria-pressed", "true")


def test_only_what_changed_is_spoken(studio: Page):
    generate(studio)
    expect(studio.get_by_role("button", name="Speak what changed")).to_be_hidden()
    studio.get_by_label("Text of line 3", exact=True).fill("Where is my coat?")
    expect(studio.locator(".hs-row").nth(2)).to_have_attribute("data-state", "changed")
    studio.get_by_role("button", name="Speak what changed").click()
    expect(studio.locator(".hs-row").nth(2)).to_have_attribute("data-state", re.compile("done|flagged"), timeout=60_000)
    expect(studio.get_by_role("button", name="Speak what changed")).to_be_hidden()
    choose_line(studio, 1)
    expect(takes(studio)).to_have_count(1)
    choose_line(studio, 3)
    expect(takes(studio)).to_have_count(2)
    studio.get_by_text("Pronunciations").click()
    studio.get_by_label("Pronunciations", exact=True).fill("Coat = hat")  # what is read counts, too
    expect(studio.locator(".hs-row").nth(2)).to_have_attribute("data-state", "changed")
    studio.get_by_role("button", name="Speak what changed (1)").click()
    expect(studio.locator(".hs-row").nth(2)).to_have_attribute("data-state", re.compile("done|flagged"), timeout=60_000)
    expect(studio.get_by_label("Text of line 3", exact=True)).to_have_value("Where is my coat?")


def test_a_pause_that_is_typed_moves_what_follows_and_speaks_nothing_anew(studio: Page):
    generate(studio)
    before, rate = wav(studio)
    for number in range(1, 5):
        expect(studio.get_by_label(f"Hear line {number}", exact=True)).to_be_enabled()
    studio.get_by_label("Text of line 2", exact=True).focus()
    studio.get_by_role("button", name="+ Pause").click()
    studio.keyboard.type("2")
    expect(studio.get_by_label("Text of line 2", exact=True)).to_have_value(re.compile(r"\. \[pause 2 s\]$"))
    expect(studio.locator("#hs-result .hs-time")).to_contain_text(f"/ 0:{len(before) / rate + 2 - 0.36:04.1f}")
    assert len(wav(studio)[0]) - len(before) == round((2 - 0.36) * rate)
    expect(studio.get_by_role("button", name="Speak what changed")).to_be_hidden()
    studio.get_by_label("Text of line 1", exact=True).fill("Good morning. [pause 1 s] How are you?")
    with told(studio, "Line 1 has a pause in its middle"):
        studio.get_by_role("button", name="Generate", exact=True).click()
    studio.get_by_role("button", name="Split line 1").click()
    expect(studio.get_by_label("Text of line 2", exact=True)).to_have_value("[pause 1 s] How are you?")


def test_a_block_is_dragged_and_what_follows_moves_with_it(studio: Page):
    generate(studio)
    choose_line(studio, 2)
    assert silence_before(studio) == 0.36
    before, rate = wav(studio)
    seconds = len(before) / rate
    gap = studio.get_by_label("Silence before it")
    gap.fill("1")
    gap.press("Tab")
    expect(studio.locator("#hs-result .hs-time")).to_contain_text(f"/ 0:{seconds + 0.64:04.1f}")
    after, _ = wav(studio)
    assert len(after) - len(before) == round(0.64 * rate), "the gap is silence of whole frames"
    # the same by hand: take hold of the second lane's first block and pull it to the right
    studio.get_by_label("Text of line 2", exact=True).focus()
    box = studio.locator("#hs-result .hs-plots").bounding_box()
    assert box
    start = float(studio.locator("#hs-result .hs-seek").input_value())
    x = box["x"] + (start + 0.3) / (seconds + 0.64) * box["width"]
    y = box["y"] + (15 + 30 + 6) + 15 + 15  # a caption, a lane and a gap; a caption, and half of the second lane
    studio.mouse.move(x, y)
    studio.mouse.down()
    studio.mouse.move(x + 20, y)
    studio.mouse.move(x + 60, y)
    studio.mouse.up()
    expect(gap).not_to_have_value("1.00")
    assert silence_before(studio) > 1.3
    assert abs(silence_before(studio) * 25 - round(silence_before(studio) * 25)) < 1e-6
    studio.get_by_role("button", name="Undo this edit").click()
    expect(gap).to_have_value("1.00")
    studio.get_by_role("button", name="Usual").click()
    expect(gap).to_have_value("0.36")
    assert np.array_equal(before, wav(studio)[0])


def test_the_mix_has_a_gain_for_each_speaker_and_a_loudness(studio: Page):
    studio.get_by_role("button", name="Advanced").click()
    studio.get_by_label("Seed", exact=True).fill("15839")  # some other takes have peaks that leave no room for it
    studio.get_by_label("Keep this seed").check()
    generate(studio)
    before, rate = wav(studio)
    studio.get_by_text("Mix", exact=True).click()
    slider = studio.get_by_label("Gain of Bruno in dB")
    slider.fill("-11.5")
    slider.press("ArrowLeft")
    expect(slider).to_have_value("-12")
    expect(slider).to_be_focused()
    expect(studio.get_by_role("button", name="Undo this edit")).to_be_visible()
    quieter, _ = wav(studio)
    changed = np.flatnonzero(np.abs(before - quieter)[:, 0] > 1e-6)
    ratio = np.linalg.norm(quieter[changed]) / np.linalg.norm(before[changed])
    assert abs(20 * np.log10(ratio) + 12) < 0.1, "Bruno is 12 dB softer"
    unlevelled = studio.locator("#hs-result .hs-download").get_attribute("href")
    studio.get_by_label("Loudness").select_option(label="−23 LUFS, broadcast")
    expect(studio.locator("#hs-result .hs-download")).not_to_have_attribute("href", unlevelled or "")
    levelled, _ = wav(studio)
    assert loudness_lufs(Audio(levelled.T, rate)).value == pytest.approx(-23, abs=0.1)


def test_the_line_that_is_heard_stands_out_in_the_script(studio: Page):
    generate(studio)
    studio.get_by_label("Text of line 2", exact=True).hover()
    studio.get_by_label("Hear line 2", exact=True).click()
    expect(studio.locator(".hs-row").nth(1)).to_have_attribute("data-heard", "")
    expect(studio.locator("#hs-result").get_by_role("button", name="Pause")).to_be_visible()


def test_a_job_survives_a_reload_and_one_of_several_can_be_stopped(studio: Page):
    fill_script(
        studio, "\n".join(f"Alma: This is line {number} of many that are still to come." for number in range(24))
    )
    studio.get_by_role("button", name="Generate", exact=True).click()
    expect(status(studio)).to_have_text(re.compile("^Speaking"))
    studio.get_by_label("Text of line 1", exact=True).hover()
    studio.get_by_label("Speak line 1", exact=True).click()
    listed = studio.locator(".hs-jobs li")
    expect(listed).to_have_count(2)
    expect(listed.nth(1)).to_contain_text("Line 1")
    studio.get_by_label("Stop Line 1", exact=True).click()
    expect(listed).to_have_count(0)
    studio.reload()
    expect(status(studio)).to_have_text(re.compile("^(Speaking|Done)"))
    expect(studio.locator("#hs-result canvas")).to_be_visible(timeout=120_000)
    expect(status(studio)).to_have_text(re.compile("^Done: "))
    expect(studio.locator(".hs-row[data-state=done], .hs-row[data-state=flagged]")).to_have_count(24)


@pytest.mark.brings_about("ERR_INTERNET_DISCONNECTED")
def test_a_lost_connection_is_found_again(studio: Page):
    fill_script(studio, "\n".join(f"Alma: This is line {number} of many that are to come." for number in range(12)))
    studio.get_by_role("button", name="Generate", exact=True).click()
    expect(status(studio)).to_have_text(re.compile("^Speaking"))
    studio.context.set_offline(True)
    studio.wait_for_timeout(1_500)  # how long the outage lasts
    studio.context.set_offline(False)
    expect(status(studio)).to_have_text(re.compile("^Done: "), timeout=60_000)
    expect(studio.locator("#hs-result canvas")).to_be_visible()
