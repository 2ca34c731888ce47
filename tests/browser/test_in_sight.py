"""What comes of pressing a button stands where the eye is, however long the script and however small the window."""

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from studio.presets import load_presets
from tests.browser.steps import choose_preset, fact, fill_script, generate, lines, status, told

PHONE = ViewportSize(width=390, height=844)
LAPTOP = ViewportSize(width=1280, height=900)
MARKET = "I went to the market this morning, and bought bread, two apples and a bottle of milk for your sister."


@pytest.mark.parametrize("size", [PHONE, LAPTOP])
def test_a_refusal_stands_beside_the_button_under_a_long_script(studio: Page, size: ViewportSize):
    studio.set_viewport_size(size)
    fill_script(studio, "\n".join(f"Alma: Line number {number}." for number in range(39)) + "\nAlma: … !")
    studio.evaluate("scrollTo(0, 0)")
    studio.get_by_label("Text of line 1", exact=True).scroll_into_view_if_needed()
    with told(studio, "Line 40 has nothing to speak"):
        studio.get_by_role("button", name="Generate", exact=True).click()
    expect(status(studio)).to_be_in_viewport()


def test_what_is_being_spoken_is_told_beside_the_button_and_in_the_empty_result(studio: Page):
    studio.set_viewport_size(LAPTOP)
    fill_script(studio, "\n".join(f"Alma: This is line number {number}, and many more come." for number in range(40)))
    studio.get_by_role("button", name="Generate", exact=True).click()
    expect(status(studio)).to_contain_text("Speaking")
    expect(status(studio)).to_be_in_viewport()
    expect(studio.locator(".hs-sound-empty")).to_contain_text("Speaking")
    with told(studio, "Stopped"):
        studio.keyboard.press("Escape")
    expect(studio.locator(".hs-sound-empty")).to_be_hidden()


def test_a_long_line_is_split_where_a_sentence_is_and_put_together_by_undo(studio: Page):
    words = len(MARKET.split())
    fill_script(studio, f"Alma: {MARKET}\nBruno: Short.\nAlma: {MARKET}")
    hints = studio.locator(".hs-long:visible")
    expect(hints).to_have_count(2)
    expect(hints.first).to_contain_text(f"{words} words; beyond 12 this checkpoint loses some.")
    studio.get_by_label("Split line 1", exact=True).click()
    expect(hints).to_have_count(1)
    first = "I went to the market this morning, and bought bread,"
    assert lines(studio)[:2] == [first, MARKET.removeprefix(f"{first} ")]
    studio.get_by_role("button", name="Undo", exact=True).click()
    expect(hints).to_have_count(2)
    studio.get_by_role("button", name="Split 2 long lines").click()
    expect(hints).to_have_count(0)
    assert " ".join(lines(studio)) == f"{MARKET} Short. {MARKET}", "not a word is lost"
    assert max(len(line.split()) for line in lines(studio)) <= 12


def test_a_row_that_was_spoken_no_longer_says_that_it_is_being_spoken(studio: Page):
    generate(studio)
    for number in range(1, 5):
        expect(studio.get_by_label(f"Takes of line {number}", exact=True)).not_to_have_attribute(
            "title", "Being spoken"
        )


def test_rows_spoken_in_one_breath_share_their_length(studio: Page):
    choose_preset(studio, next(preset.title for preset in load_presets().values() if preset.draft.way == "breath"))
    expect(studio.locator(".hs-way")).to_have_value("breath")
    generate(studio)
    count = len(lines(studio))
    chips = studio.locator(".hs-state")
    expect(chips.first).to_have_text(f"in 1–{count}")
    expect(chips.last).to_have_text(f"in 1–{count}")
    seconds = float(fact(studio, "Duration").removesuffix(" s"))
    for chip in (chips.first, chips.last):
        title = chip.get_attribute("title") or ""
        assert title.endswith(f"in one breath with the others, {seconds:.1f} s in all")


def test_what_was_heard_before_falls_silent_when_nothing_can_be_spoken(studio: Page):
    generate(studio)
    live = "HiggsStudio.live.state"
    assert studio.evaluate(live) in ("playing", "ended", "waiting", "dry")
    studio.get_by_label("Text of line 2", exact=True).fill("… !")
    with told(studio, "Line 2 has nothing to speak"):
        studio.get_by_role("button", name="Generate", exact=True).click()
    assert studio.evaluate(live) in ("stopped", "ended")
