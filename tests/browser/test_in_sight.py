"""What comes of pressing a button stands where the eye is, however long the script and however small the window."""

import re

import pytest
from playwright.sync_api import Page, Route, ViewportSize, expect

from studio.presets import load_presets
from tests.browser.steps import TWO_FRAMES, choose_preset, fact, fill_script, generate, lines, status, told

PHONE = ViewportSize(width=390, height=844)
LAPTOP = ViewportSize(width=1280, height=900)
MARKET = "I went to the market this morning, and bought bread, two apples and a bottle of milk for your sister."


@pytest.mark.parametrize("size", [PHONE, LAPTOP])
def test_a_refusal_stands_in_sight_under_a_long_script(studio: Page, size: ViewportSize):
    studio.set_viewport_size(size)
    fill_script(studio, "\n".join(f"Alma: Line number {number}." for number in range(39)) + "\nAlma: … !")
    studio.get_by_label("Text of line 1", exact=True).focus()
    before = studio.evaluate("scrollY")
    with told(studio, "Line 40 has nothing to speak"):
        studio.keyboard.press("Control+Enter")  # a click would bring the button into sight
    expect(status(studio)).to_be_in_viewport()
    assert studio.evaluate("scrollY") == before


def test_what_is_being_spoken_is_told_in_sight_and_in_the_empty_result(studio: Page):
    studio.set_viewport_size(LAPTOP)
    fill_script(studio, "\n".join(f"Alma: This is line number {number}, and many more come." for number in range(60)))
    studio.get_by_label("Text of line 1", exact=True).focus()
    studio.keyboard.press("Control+Enter")
    expect(status(studio)).to_contain_text("Speaking")
    expect(status(studio)).to_be_in_viewport()
    expect(studio.locator(".hs-sound-empty")).to_contain_text("Speaking")
    with told(studio, "Stopped"):
        studio.keyboard.press("Escape")
    expect(studio.locator(".hs-sound-empty")).to_be_hidden()


def test_what_cannot_be_spoken_leaves_alone_what_is_being_spoken(studio: Page):
    fill_script(studio, "\n".join(f"Alma: This is line number {number}, and many more come." for number in range(60)))
    studio.get_by_role("button", name="Generate", exact=True).click()
    expect(status(studio)).to_contain_text("Speaking")
    studio.get_by_label("Text of line 1", exact=True).fill("… !")
    studio.get_by_label("Speak line 1", exact=True).click()
    expect(studio.get_by_text("Line 1 has nothing to speak")).to_be_visible()
    expect(status(studio)).to_contain_text("Speaking")
    assert studio.evaluate("HiggsStudio.live.state") in ("waiting", "playing", "dry"), "it is still heard"
    with told(studio, "Stopped"):
        studio.keyboard.press("Escape")


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


def test_what_is_typed_while_a_line_is_being_split_stays(studio: Page):
    fill_script(studio, f"Alma: {MARKET}\nBruno: Short.")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route) if "split_lines" in (route.request.post_data or "") else route.continue_()

    studio.route("**/component_server**", hold)
    with studio.expect_request(lambda request: "split_lines" in (request.post_data or "")):
        studio.get_by_label("Split line 1", exact=True).click()
    studio.get_by_label("Text of line 2", exact=True).fill("Typed meanwhile.")
    with studio.expect_response(lambda answer: "split_lines" in (answer.request.post_data or "")):
        held[0].continue_()
    studio.evaluate(TWO_FRAMES)
    assert lines(studio) == [MARKET, "Typed meanwhile."]


def test_in_one_breath_and_as_plain_script_long_lines_are_counted_as_they_are_spoken(studio: Page):
    fill_script(studio, f"Alma: {MARKET}\nBruno: {MARKET}")
    all_of_them = studio.get_by_role("button", name="Split 2 long lines")
    expect(all_of_them).to_be_visible()
    studio.locator(".hs-way").select_option("breath")
    expect(studio.locator(".hs-long:visible")).to_have_count(0)
    expect(all_of_them).to_be_hidden()
    studio.locator(".hs-way").select_option("lines")
    studio.get_by_role("button", name="Plain script").click()
    all_of_them.click()
    expect(all_of_them).to_be_hidden()
    expect(studio.get_by_label("Plain script", exact=True)).to_have_value(
        re.compile(r"^(Alma: .+\n){2}(Bruno: .+\n?){2}$")
    )


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
    expect(chips.first).to_have_text(f"lines 1–{count}")
    expect(chips.last).to_have_text(f"lines 1–{count}")
    seconds = float(fact(studio, "Duration").split(" s")[0])
    for chip in (chips.first, chips.last):
        title = chip.get_attribute("title") or ""
        assert title.endswith(f"in one breath with the others, {seconds:.1f} s in all")


def test_what_was_heard_before_falls_silent_when_nothing_can_be_spoken(studio: Page):
    fill_script(studio, "\n".join(f"Alma: This is line number {number}, and more come." for number in range(12)))
    generate(studio)  # far faster than it is heard
    live = "HiggsStudio.live.state"
    assert studio.evaluate(live) == "playing"
    studio.get_by_label("Text of line 2", exact=True).fill("… !")
    with told(studio, "Line 2 has nothing to speak"):
        studio.keyboard.press("Control+Enter")
    assert studio.evaluate(live) == "stopped"
