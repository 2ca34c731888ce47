"""The dials of speaking: the seed, how many takes, and those of `Sampling`, each with its own default and range."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.errors import BadSetting
from studio.sampling import Sampling, fresh_seed
from studio.speech import MOST_TAKES

MOST_TAKES_AT_ONCE = 8

Data = dict[Any, Any]


@dataclass(frozen=True)
class Dials:
    """How lines are spoken: the seed, the takes, and the dials of `Sampling`."""

    seed: gr.Number
    keep_seed: gr.Checkbox
    takes: gr.Slider
    most_takes: gr.Slider
    listen: gr.Checkbox
    sampling: dict[str, gr.Slider]

    @property
    def components(self) -> set[Any]:
        """All of them."""
        return {self.seed, self.keep_seed, self.takes, self.most_takes, self.listen, *self.sampling.values()}

    def chosen(self, data: Data) -> Sampling:
        """The sampling as it is set.

        Raises:
            BadSetting: a value is out of range, or the seed to keep is missing.
        """
        chosen = Sampling.from_dict({name: data[dial] for name, dial in self.sampling.items()})
        if not data[self.keep_seed]:
            return chosen.with_seed(fresh_seed())
        if data[self.seed] is None:
            raise BadSetting("Type the seed to keep, or untick “Keep this seed”.")
        return chosen.with_seed(data[self.seed])


def dials_panel(sampling: Sampling, listen: gr.Checkbox) -> Dials:
    """The seed, the takes, and the dials of `Sampling`, each made from its own default and range."""
    with gr.Accordion("Advanced", open=False):
        with gr.Row(equal_height=True):
            seed = gr.Number(sampling.seed, label="Seed", precision=0, elem_id="hs-seed")
            keep_seed = gr.Checkbox(False, label="Keep this seed", info="The same seed gives the same speech.")
        takes = gr.Slider(
            1,
            MOST_TAKES_AT_ONCE,
            1,
            step=1,
            label="Takes of each line",
            info="Spoken in one batch; the best is heard, all are kept.",
        )
        most_takes = gr.Slider(
            0,
            MOST_TAKES,
            0,
            step=1,
            label="Further takes until one is healthy, at most",
            info="Of lines none of whose takes passed the health check; 0: none.",
        )
        dials = {
            dial.name: gr.Slider(
                dial.low, dial.high, getattr(sampling, dial.name), step=dial.step, label=dial.label, info=dial.help
            )
            for dial in Sampling.dials()
            if dial.name != "seed"
        }
    return Dials(seed, keep_seed, takes, most_takes, listen, dials)
