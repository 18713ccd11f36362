"""The writing tab: an opening, its settings, and the cards that they become."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import gradio as gr
from gradio.components import Component

from demo.generation.profile import Profile, moods
from demo.generation.request import (
    COUNT,
    FIELDS,
    MAX_PROMPT_CHARACTERS,
    GenerationRequest,
    NumberField,
)
from demo.ui.api import ENGINE_CALLS, LIMITS, NO_ANSWER, Endpoint
from demo.ui.components import browser_function, build_component
from demo.ui.results import Draft
from demo.ui.theme import LIGHT

NUMBERS = tuple(name for name in FIELDS if name != "seed")
CUT = "The connection was lost here. Continue picks up from the end of this text."


def build_write_tab(generate_many: Endpoint, profile: Profile, *, can_fool: bool) -> None:
    """Lays the tab out inside the current Blocks and wires it; `can_fool` offers links for which
    the app needs real tweets."""
    persona = profile.persona
    with gr.Column(elem_id="cd-write"):
        with gr.Column(elem_id="cd-compose"):
            prompt, asking = _build_prompt()
            with gr.Row(elem_id="cd-examples"):
                # write.html has them written at once.
                examples = [gr.Button(text, size="sm") for text in persona.examples]
            with gr.Row(elem_id="cd-actions"):
                start = gr.Button("Finish it", variant="primary", elem_id="cd-generate")
                stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="cd-stop")
                clear = gr.Button("Clear", elem_id="cd-clear")
        cards = build_component(
            "cards",
            "cd-cards",
            author=persona.author,
            handle=persona.handle,
            badge=persona.badge,
            title=persona.title,
            can_fool=can_fool,
            colours=dict(LIGHT),
        )
        with gr.Column(elem_id="cd-settings"):
            settings = _build_settings(cards, profile)
    blank = asdict(Draft(persona).result())
    buttons = (start, stop, clear, *examples)
    _wire(generate_many, (prompt, asking), settings, cards, buttons, blank)


def _build_prompt() -> tuple[gr.Textbox, gr.HTML]:
    prompt = gr.Textbox(
        value="",
        label="Start a tweet",
        placeholder="A few words, or none",
        max_length=MAX_PROMPT_CHARACTERS,
        lines=1,
        max_lines=6,
        elem_id="cd-prompt",
    )
    asking = build_component(
        "write",
        "cd-counter",
        value={"text": "", "ask": None},
        limit=MAX_PROMPT_CHARACTERS,
    )
    prompt.change(None, js=browser_function("count"), inputs=[prompt, asking], outputs=asking)
    return prompt, asking


def _build_settings(cards: gr.HTML, profile: Profile) -> list[Component]:
    """How many, then a component for each of FIELDS."""
    defaults = profile.defaults
    count = gr.Radio(
        list(range(int(COUNT.minimum), int(COUNT.maximum) + 1)),
        value=COUNT.default,
        label=COUNT.label,
        info=COUNT.help,
        elem_id="cd-count",
    )
    numbers = {
        name: [getattr(request, number) for number in NUMBERS]
        for name, request in moods(defaults).items()
    }
    first = next(iter(numbers))
    mood = gr.Radio(
        list(numbers),
        value=first,
        label="Mood",
        info="Sets the sliders below.",
        elem_id="cd-preset",
    )
    sliders = [_slider(FIELDS[name], defaults) for name in NUMBERS[:2]]
    with gr.Accordion("Advanced", open=False):
        sliders += [_slider(FIELDS[name], defaults) for name in NUMBERS[2:]]
        # Not a number box: in the browser, Gradio's turns "nothing" into 0, which is a seed.
        seed = gr.Textbox(
            label=FIELDS["seed"].label,
            info=profile.help_of(FIELDS["seed"]),
            placeholder="Random",
            max_lines=1,
            elem_id="cd-seed",
        )
        with gr.Row(elem_id="cd-seed-buttons"):
            keep = gr.Button("Reuse last seed", size="sm")
            draw = gr.Button("Random seed", size="sm")
    reset = gr.Button("Reset to defaults", size="sm", elem_id="cd-reset")
    keep.click(None, js=browser_function("keepSeed"), inputs=[cards, seed], outputs=seed)
    draw.click(None, js=browser_function("give", values=""), outputs=seed)
    # A mood sets the numbers, and a number that is moved is no mood any more.
    choose = browser_function("chooseMood", moods=numbers)
    mood.input(None, js=choose, inputs=mood, outputs=sliders)
    moved = [slider.input for slider in sliders]
    gr.on(moved, None, js=browser_function("give", values=None), outputs=mood)
    as_at_first = browser_function("give", values=[first, COUNT.default, "", *numbers[first]])
    reset.click(None, js=as_at_first, outputs=[mood, count, seed, *sliders])
    return [count, *sliders, seed]


def _slider(field: NumberField, defaults: GenerationRequest) -> gr.Slider:
    return gr.Slider(
        field.minimum,
        field.maximum,
        getattr(defaults, field.name),
        step=field.step,
        precision=0 if field.whole else None,
        label=field.label,
        info=field.help,
    )


def _wire(
    generate_many: Endpoint,
    typed: tuple[gr.Textbox, gr.HTML],
    settings: Sequence[Component],
    cards: gr.HTML,
    buttons: Sequence[gr.Button],
    blank: Mapping[str, Any],
) -> None:
    """Button, Enter, links, examples and "Continue" call one function; the rest happens in the
    browser. `blank` is a text of which nothing has come yet."""
    # Links and examples put what they ask for into `asking`.
    prompt, asking = typed
    # In the order that `/generate_many` takes them.
    fields = [prompt, *settings]
    start, stop, clear, *examples = buttons
    # Not empty once Stop was pressed for what is being written.
    stopped = gr.Textbox(visible="hidden")
    # What "Continue" asks for: one text after `carried`, with a seed of its own. What stands in the
    # fields stays.
    carried, one = gr.Textbox(visible="hidden"), gr.Number(1, visible="hidden")
    no_seed = gr.Textbox(visible="hidden")
    begin: dict[str, Any] = {
        "fn": None,
        "js": browser_function("start", text=blank),
        "inputs": [prompt, *settings[:2], cards],
        "outputs": [cards, stopped],
    }
    # Past the API, whose endpoints have names and docs of their own.
    call: dict[str, Any] = {
        "fn": generate_many,
        "inputs": fields,
        "outputs": cards,
        "api_visibility": "private",
        "concurrency_id": ENGINE_CALLS,
        "concurrency_limit": None,
        # Gradio's own checks would answer first, and not name the field.
        "preprocess": False,
        "show_progress": "hidden",
        # Gradio takes a call for over a moment after the last word came, and until then would drop
        # the next one, which "once" means. write.html sees to it that they are one at a time.
        "trigger_mode": "multiple",
    }
    pressed = [start.click, prompt.submit]
    gr.on(pressed, **begin)
    running = gr.on(pressed, **call)
    fill = browser_function("fill", names=["prompt", "count", *FIELDS], limits=LIMITS)
    inputs = [asking, *fields]
    asked = asking.ask(None, js=fill, inputs=inputs, outputs=inputs)
    running_asked = asked.then(**begin).then(**call)
    go_on = browser_function("carry", text=blank)
    carrying = cards.carry(
        None, js=go_on, inputs=[settings[1], cards], outputs=[cards, stopped, carried]
    )
    call["inputs"] = [carried, one, *settings[1:-1], no_seed]
    running_carried = carrying.then(**call)
    runs = [running, running_asked, running_carried]
    end = browser_function("end", error=NO_ANSWER, cut=CUT)
    for event in runs:
        event.failure(None, js=end, inputs=[cards, stopped], outputs=cards)
    stop.click(
        None,
        js=browser_function("give", values=["stopped", "Stopping…"]),
        outputs=[stopped, stop],
        cancels=runs,
    )
    empty = browser_function("give", values=["", None])
    clear.click(None, js=empty, outputs=[prompt, cards])
    enable = browser_function("enable", stop="Stop", examples=len(examples))
    cards.change(None, js=enable, inputs=cards, outputs=list(buttons))
