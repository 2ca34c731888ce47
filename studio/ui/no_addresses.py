"""No address that a visitor or a program gives is opened.

Where a file is expected, Gradio takes an address, too, and fetches it: from wherever the sender likes, and however
long it is. Both of its ways to a file go through one function.
"""

from typing import Any

import gradio as gr
from gradio import processing_utils

REFUSAL = "Addresses are not opened here. Send the file itself (handle_file in Python, a data: URI in MCP)."


def open_no_addresses() -> None:
    """Refuse addresses in place of files, in this whole process."""
    processing_utils.async_ssrf_protected_get = _refused


async def _refused(url: str) -> Any:
    raise gr.Error(REFUSAL, print_exception=False)
