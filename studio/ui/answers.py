"""What the page says in a message: in a toast or beside a form, always as plain text."""

import functools
import html
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import gradio as gr

from studio.errors import StudioError

Asked = dict[str, Any]  # one JSON object, which the page's own scripts send and are sent
Answer = Callable[[Any], Asked]
Handler = TypeVar("Handler", bound=Callable[..., Any])


def message(problem: StudioError) -> gr.Error:
    """A message on the page. Gradio shows its text as HTML, and files' names are part of it: so it is escaped."""
    return gr.Error(html.escape(str(problem), quote=False), duration=12, print_exception=False)


def told(text: str, *, wrong: bool) -> Any:
    """A sentence beside the form it is about: put it into a `gr.HTML`. It is shown as plain text; no text hides it."""
    look, role = ("hs-problem", "alert") if wrong else ("hs-notice", "status")
    return gr.update(value=f'<p class="{look}" role="{role}">{html.escape(text)}</p>', visible=bool(text))


def answering_page(answer: Callable[[Asked], Asked]) -> Answer:
    """A function that the page's own scripts call: it takes one object, and a `StudioError` comes back as `problem`."""

    @functools.wraps(answer)
    def read(asked: Any) -> Asked:
        try:
            return answer(asked if isinstance(asked, dict) else {})
        except StudioError as problem:
            return {"problem": str(problem)}

    return read


def answering(handler: Handler) -> Handler:
    """Turn a `StudioError` of a handler into a message on the page; everything else propagates."""
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def answers(*arguments: Any, **named: Any) -> Any:
            try:
                yield from handler(*arguments, **named)
            except StudioError as problem:
                raise message(problem) from None

        return answers  # type: ignore[return-value]

    @functools.wraps(handler)
    def answer(*arguments: Any, **named: Any) -> Any:
        try:
            return handler(*arguments, **named)
        except StudioError as problem:
            raise message(problem) from None

    return answer  # type: ignore[return-value]
