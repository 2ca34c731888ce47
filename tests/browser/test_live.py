"""What is spoken is played while it comes, on one clock, and can be left at any position."""

import numpy as np
from playwright.sync_api import Page, Route

RATE = 24_000
LISTEN = """async (token) => {
  const told = [];
  const live = (window.live = new HiggsStudio.Live((now) => told.push(now)));
  window.told = told;
  await live.play(token);
}"""


def tone(seconds: float) -> bytes:
    return np.round(3_000 * np.sin(np.arange(round(seconds * RATE)) * 0.05)).astype("<i2").tobytes()


def serve(page: Page, body: bytes, headers: dict[str, str] = {"X-Sample-Rate": str(RATE)}) -> None:  # noqa: B006
    def answer(route: Route) -> None:
        route.fulfill(body=body, headers=headers)

    page.route("**/live/*", answer)


def test_live_sound_is_played_to_its_end_stopped_and_refused(studio: Page):
    serve(studio, tone(0.8))
    studio.evaluate(LISTEN, "a" * 32)
    studio.wait_for_function("told.at(-1).state === 'ended'")
    states = studio.evaluate("told.map((now) => now.state)")
    assert states[0] == "waiting"
    assert "playing" in states
    assert abs(studio.evaluate("told.at(-1).played") - 0.8) < 0.01, "all of it was heard"
    assert studio.evaluate("told.every((now, at) => !at || now.played >= told[at - 1].played)")

    studio.unroute("**/live/*")
    serve(studio, tone(30.0))
    studio.evaluate(LISTEN, "b" * 32)
    studio.wait_for_function("live.position > 0.2")
    position = studio.evaluate("live.stop()")
    assert 0.2 < position < 10
    assert studio.evaluate("[told.at(-1).state, live.sources.size]") == ["stopped", 0]

    studio.unroute("**/live/*")
    serve(studio, b"Not found", headers={})  # with status 404 it would stand in the console as an error
    studio.evaluate(LISTEN, "c" * 32)
    assert studio.evaluate("[told.at(-1).state, told.at(-1).problem]") == ["failed", "This sound is no longer live."]
