"""Errors that a person can mend, turned into what the page shows: in this one place."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import gradio as gr

from studio.errors import StudioError

Handler = TypeVar("Handler", bound=Callable[..., Any])


def answering(handler: Handler) -> Handler:
    """Turn a `StudioError` of a handler into a message on the page; everything else propagates."""

    @functools.wraps(handler)
    def answer(*arguments: Any, **named: Any) -> Any:
        try:
            return handler(*arguments, **named)
        except StudioError as problem:
            raise gr.Error(str(problem), duration=12, print_exception=False) from None

    return answer  # type: ignore[return-value]
