"""What a program is told of an endpoint's inputs: the sentences of its docstring, and examples that work.

Gradio's own examples are {"foo": "bar"}, "Hello!!", and files from a site that is out of reach without a network.
"""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.utils import get_function_description

SOUND = "assets/voices/alma.flac"  # as seen from the project's folder, where a program may well be tried first


def explain(endpoint: Callable[..., Any], inputs: Sequence[Component], examples: Sequence[Any]) -> None:
    """Let the inputs of an endpoint tell what they are, in “Use via API” and in `client.view_api()`.

    Args:
        endpoint: The function behind it; its docstring has a line for each of its inputs.
        inputs: Its components, in the order of its arguments.
        examples: What each is given in the example.
    """
    _, words, _ = get_function_description(endpoint)
    for component, sentence, example in zip(inputs, words.values(), examples, strict=False):  # `progress` has none
        _explain(component, sentence, example)


def _explain(component: Component, sentence: str, example: Any) -> None:
    # On the component, not by a subclass: Gradio writes a stub beside the source of every subclass.
    info = component.api_info() | _schema(component, example) | {"additional_description": sentence}
    component.example_payload = lambda: example  # type: ignore[method-assign]
    component.example_value = lambda: example  # type: ignore[method-assign]
    component.api_info_as_input = lambda: info  # type: ignore[method-assign]


def _schema(component: Component, example: Any) -> dict[str, Any]:
    """What holds of JSON like the example. Gradio says {"type": {}}: no schema, so MCP clients refuse the tool."""
    if not isinstance(component, gr.JSON):
        return {}
    return {"type": "array", "items": {}} if isinstance(example, list) else {"type": "object"}


def file_example(path: str) -> dict[str, Any]:
    """A file as an example shows it: `handle_file("…")` in Python, an upload elsewhere."""
    return {"path": path, "url": path, "orig_name": path.rsplit("/", 1)[-1], "meta": {"_type": "gradio.FileData"}}
