"""Word documents (docx): their paragraphs, by a parser that knows no entities and opens nothing else in the file."""

from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

from studio.archive import read_archive
from studio.errors import BadConversation

DOCUMENT = "word/document.xml"
MOST_BYTES = 32 * 2**20
MOST_ENTRIES = 2_000
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
STRICT_WORD = "http://purl.oclc.org/ooxml/wordprocessingml/main"
SPACES = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
LEFT_OUT = {"del", "moveFrom", "instrText", "footnoteReference", "commentReference"}  # struck out, or no text


def paragraphs_of(path: Path, name: str) -> list[str]:
    """The paragraphs of a document in order, those of tables included.

    Raises:
        StudioError: it is no document, broken, or meant to do harm.
    """
    parts = read_archive(
        path,
        lambda entry: MOST_BYTES,
        most_entries=MOST_ENTRIES,
        most_bytes=MOST_BYTES,
        what="Word document",
        name=name,
        wanted=lambda entry: entry == DOCUMENT,
    )
    if DOCUMENT not in parts:
        raise BadConversation(f"“{name}” is no Word document. Save it as .docx or .txt.")
    try:
        return [row for text in _texts(parts[DOCUMENT]) for row in text.split("\n")]
    except (expat.ExpatError, ValueError):
        raise BadConversation(f"“{name}” is a damaged Word document. Open and save it again, or use .txt.") from None


def _texts(xml: bytes) -> Iterator[str]:
    paragraphs: list[str] = []
    open_texts: list[list[str]] = []  # text boxes stand within paragraphs
    inside: list[str] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        local = _local(tag)
        inside.append(local)
        if local == "p":
            open_texts.append([])
        elif local in SPACES and open_texts and LEFT_OUT.isdisjoint(inside):
            open_texts[-1].append(SPACES[local])

    def end(tag: str) -> None:
        inside.pop()
        if _local(tag) == "p" and open_texts:
            paragraphs.append("".join(open_texts.pop()))

    def characters(text: str) -> None:
        if open_texts and inside[-1] == "t" and LEFT_OUT.isdisjoint(inside):
            open_texts[-1].append(text)

    def refuse(*_: object) -> None:
        raise ValueError("Word documents have no document type: it could only hold entities")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = characters, refuse
    parser.buffer_text = True
    parser.Parse(xml, True)
    yield from paragraphs


def _local(tag: str) -> str:
    """The name of an element of Word's own; another's is none."""
    space, _, local = tag.rpartition(" ")
    return local if space in (WORD, STRICT_WORD) else ""
