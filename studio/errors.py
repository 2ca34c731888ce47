"""What can go wrong in a way a person can mend. The text of each error says what to do.

    StudioError
    ├── BadAudio             a recording that cannot be used
    ├── BadConversation      a script, scene, cast or prompt that cannot be spoken
    ├── BadSetting           a sampling value or a preset file out of its range
    ├── CheckpointMissing    weights that are not on this machine and cannot be fetched
    └── GenerationFailed     the model ran and gave nothing that may be published

The page turns these into messages in one place; everything else is a bug and propagates.
"""


class StudioError(Exception):
    """Base of every error whose text is written for the person at the screen."""


class BadAudio(StudioError):
    """A recording that is unreadable, empty, silent, too long or too large."""


class BadConversation(StudioError):
    """A conversation that cannot be spoken as it stands."""


class BadSetting(StudioError):
    """A setting or a preset key that does not exist or is out of range."""


class CheckpointMissing(StudioError):
    """A checkpoint that is neither on this machine nor to be had now."""


class GenerationFailed(StudioError):
    """The model ran, and what came out is not speech."""
