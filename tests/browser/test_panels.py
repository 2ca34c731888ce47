"""Export, project file, Verify and import, as a person uses them."""

import io
import zipfile
from pathlib import Path
from urllib.parse import urljoin

from playwright.sync_api import Page, expect

from tests.browser.steps import fill_script, generate, lines

SRT = "1\n00:00:01,000 --> 00:00:02,000\nAlma: Hello <i>you</i>\n\n2\n00:00:04,000 --> 00:00:05,000\nZoë: Yes.\n"


def choose_file(page: Page, button: str, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.locator(button).click()
    chooser.value.set_files(path)


def download(page: Page, where: str) -> tuple[str, bytes]:
    link = page.locator(f"{where} a")
    expect(link).to_be_visible()
    answer = page.request.get(urljoin(page.url, link.get_attribute("href")))
    assert answer.ok
    return link.get_attribute("download"), answer.body()


def test_a_project_goes_out_and_comes_back(studio: Page, tmp_path: Path):
    page = studio
    fill_script(page, "Alma: One.\nBruno: Two.\nBruno: And three.")
    for name in ("Export", "Project", "Import a script"):
        page.get_by_role("button", name=name).first.click()
    page.get_by_label("Title", exact=True).fill("Kitchen")  # before there is a project to keep it
    generate(page)

    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_text("3 of 3 takes came out the same.")).to_be_visible()
    expect(page.get_by_role("cell", name="The same codes.")).to_have_count(3)

    page.get_by_role("button", name="Save project file").click()
    name, saved = download(page, "#hs-project-note")
    (tmp_path / name).write_bytes(saved)
    assert name == "kitchen.higgs.zip"
    page.locator("#hs-export-go").click()
    name, archive = download(page, "#hs-export-files")
    assert name == "kitchen.zip"
    page_files = tmp_path / "page"
    with zipfile.ZipFile(io.BytesIO(archive)) as parts:
        assert {"index.html", "mix.wav", "stems/01-alma.wav", "lines/003-bruno.wav", "subtitles.srt"} < set(
            parts.namelist()
        )
        parts.extractall(page_files)

    (tmp_path / "scene.srt").write_text(SRT, "utf-8")
    choose_file(page, "#hs-import-script-file", tmp_path / "scene.srt")
    expect(page.get_by_text("2 lines in the script. Undo brings the old one back.")).to_be_visible()
    expect(page.locator(".hs-row textarea")).to_have_count(2)
    assert lines(page) == ["Hello you", "Yes."]
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".hs-row textarea")).to_have_count(3)

    (tmp_path / "broken.zip").write_bytes(saved[:-100])
    choose_file(page, "#hs-project-open", tmp_path / "broken.zip")
    expect(page.locator("#hs-project-note .hs-problem")).to_contain_text("is no project file")
    choose_file(page, "#hs-project-open", tmp_path / "kitchen.higgs.zip")
    expect(page.get_by_text("“Kitchen” is open: 3 takes.")).to_be_visible()
    expect(page.get_by_label("Title", exact=True)).to_have_value("Kitchen")
    page.get_by_role("button", name="Back to the project before").click()
    expect(page.get_by_text("The project of before is open again.")).to_be_visible()

    reader = page.context.new_page()
    outside: list[str] = []
    reader.on("request", lambda request: request.url.startswith("http") and outside.append(request.url))
    reader.goto((page_files / "index.html").as_uri())
    row = reader.get_by_role("listitem").nth(1)
    row.get_by_role("button").click()
    expect(row).to_have_class("heard")
    assert outside == []
    reader.close()


def test_a_batch_survives_a_reload_and_gives_its_files(studio: Page, tmp_path: Path):
    page = studio
    page.get_by_role("button", name="Batch").first.click()
    (tmp_path / "wrong.csv").write_text("conversation,text,voice\nA,Yes.,nobody\n", "utf-8")
    choose_file(page, "#hs-batch-file", tmp_path / "wrong.csv")
    expect(page.locator("#hs-batch-note .hs-problem")).to_contain_text("Row 2: there is no voice “nobody”")
    (tmp_path / "scenes.csv").write_text(
        "conversation,speaker,text,voice\nOne,Alma,Yes.,alma\nTwo,Alma,No.,alma\n", "utf-8"
    )
    choose_file(page, "#hs-batch-file", tmp_path / "scenes.csv")
    expect(page.get_by_text("“scenes.csv”: 0 of 2 conversations are finished.")).to_be_visible()

    page.reload()
    page.get_by_role("button", name="Batch").first.click()
    expect(page.get_by_text("“scenes.csv”: 0 of 2 conversations are finished.")).to_be_visible()
    page.get_by_role("button", name="Speak what is missing").click()
    expect(page.get_by_text("2 of 2 conversations are finished.")).to_be_visible(timeout=120_000)
    links = page.locator("#hs-batch-note a")
    expect(links).to_have_count(2)
    answer = page.request.get(urljoin(page.url, links.first.get_attribute("href")))
    with zipfile.ZipFile(io.BytesIO(answer.body())) as parts:
        assert parts.namelist() == ["report.csv", "001-one.wav", "001-one.srt", "002-two.wav", "002-two.srt"]
