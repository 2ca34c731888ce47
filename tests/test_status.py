"""What the status line says, by jobs of known outcome."""

from dataclasses import replace

from studio.conversation import Conversation, Line, Speaker
from studio.sampling import Sampling
from studio.serve.jobs import Job
from studio.speech import SpeechRequest, SpokenLines
from studio.takes import Take
from studio.ui import status
from tests.projects import HEALTHY, a_take

TOO_SHORT = replace(HEALTHY, seconds=1.0, expected_seconds=10.0)


def said_of(*parts: tuple[tuple[int, ...], Take], takes: int = 1) -> dict:
    """What is said of a job that gave these takes of these lines, each so many times."""
    lines = tuple(Line(0, f"Line {number}.", number) for number in range(1, 10))
    conversation = Conversation(lines, (Speaker("Alma"),))
    spoken = tuple(SpokenLines(0, places, (take,) * takes, 0) for places, take in parts)
    job = Job("somebody", SpeechRequest((conversation,), Sampling()))
    job.run(lambda request, cancelled: iter([spoken]))
    return status.of_jobs(None, [job])


def test_a_healthy_take_is_done_and_no_more_is_said():
    said = said_of(((0,), a_take(25)), ((1,), a_take(50)))
    assert (said["state"], said["text"]) == ("done", "Done: 2 lines, 3.0 s of speech in 1.0 s.")
    assert said["notes"] == []


def test_what_was_spoken_is_said_where_it_is_not_all_of_it():
    take = a_take(25)
    assert said_of(((2,), take))["text"] == "Done: line 3, 1.0 s of speech in 0.5 s."
    assert said_of(((1, 2, 3), take))["text"] == "Done: lines 2 to 4, 1.0 s of speech in 0.5 s."
    assert said_of(*(((place,), take) for place in range(9)))["text"] == "Done: 9.0 s of speech in 4.5 s."


def test_of_several_takes_it_is_said_how_many_there_were():
    several = said_of(((2,), a_take(25)), takes=4)
    assert several["text"] == "Done: line 3, the best of 4 takes, 1.0 s of speech in 2.0 s."


def test_what_is_wrong_with_a_take_is_said_with_its_line():
    said = said_of(((0,), a_take(25)), ((2,), replace(a_take(25), health=TOO_SHORT)))
    assert said["notes"] == ["Line 3: 1.0 s is too short for its text. Listen to it, or speak it again."]


def test_a_take_of_several_lines_names_them():
    said = said_of(((1, 2, 3), replace(a_take(25), health=TOO_SHORT)))
    assert said["notes"][0].startswith("Lines 2 to 4: ")


def test_of_many_findings_the_first_are_said_and_the_others_counted():
    said = said_of(*(((place,), replace(a_take(25), health=TOO_SHORT)) for place in range(8)))
    assert len(said["notes"]) == status.FINDINGS + 1
    assert said["notes"][-1] == "… and 5 more, marked with ! in the script."
