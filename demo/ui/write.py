"""The writing tab: an opening, its settings, and the tweets they become.

Knows components and what happens in the browser; must not know how a text is made.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from demo.generation.introduction import Introduction
from demo.generation.request import (
    COUNT,
    FIELDS,
    MAX_PROMPT_CHARACTERS,
    GenerationRequest,
    NumberField,
)
from demo.ui import copy
from demo.ui.api import ENGINE_CALLS
from demo.ui.cards import build_cards
from demo.ui.endpoint import Endpoint
from demo.ui.html import build_html
from demo.ui.presets import presets

# In the order that `/generate_many` takes them, after the prompt and the count.
SETTINGS = tuple(FIELDS)
LIMITS = {field.name: [field.minimum, field.maximum] for field in (*FIELDS.values(), COUNT)}
NUMBERS = tuple(name for name in SETTINGS if name != "seed")

# What the browser does by itself. Texts are being made until the cards are `finished`.
_START = """(prompt, count, cards) => cards && !cards.finished ? [] : [{
    texts: Array.from({length: count}, () => ({prompt, text: prompt, generated: "", finish_reason: null})),
    finished: false,
}]"""  # noqa: E501
# Gradio cancels in a round trip, in which more text may come, and then tells of a failure. So the
# button's label keeps in mind that it was pressed, and the failure is where the cards say it.
_STOP = f"() => {json.dumps(copy.STOPPING)}"
_ENDED = f"""(cards, label) => {{
    if (!cards || cards.finished) return [];
    const how = label === {json.dumps(copy.STOPPING)}
        ? {{finish_reason: "stopped"}}
        : {{finish_reason: "error", error: {json.dumps(copy.NO_ANSWER)}}};
    const texts = cards.texts.map((text) =>
        text.finish_reason === null ? {{...text, note: "", ...how}} : text);
    return [{{...cards, texts, finished: true}}];
}}"""
_BUTTONS = f"""(cards) => {{
    const running = Boolean(cards) && !cards.finished;
    const enabled = (interactive) => ({{__type__: "update", interactive}});
    const stop = running ? enabled(true) : {{...enabled(false), value: {json.dumps(copy.STOP)}}};
    return [enabled(!running), stop, enabled(!running)];
}}"""
_CLEAR = '() => ["", null]'
_KEEP_SEED = """(cards, seed) => {
    const written = cards && cards.texts.find((text) => text.settings);
    return written ? String(written.settings.seed) : seed;
}"""
# What was asked for by a link or a button, over what the fields say now.
_FILL = f"""(asked, ...now) => {{
    const names = {json.dumps(["prompt", "count", *SETTINGS])};
    return names.map((name, i) => {{
        if (!asked || !(name in asked)) return now[i];
        if (name === "prompt" || name === "seed") return String(asked[name]);
        const [least, most] = {json.dumps(LIMITS)}[name];
        const number = Number(asked[name]);
        return String(asked[name]).trim() && least <= number && number <= most ? number : now[i];
    }});
}}"""


@dataclass(frozen=True)
class _Fields:
    """What a visitor fills in; `asking` is where links and buttons put what they ask for."""

    prompt: gr.Textbox
    count: gr.Radio
    settings: Mapping[str, Component]
    asking: gr.HTML

    @property
    def inputs(self) -> list[Component]:
        """In the order that `/generate_many` takes them."""
        return [self.prompt, self.count, *(self.settings[name] for name in SETTINGS)]


@dataclass(frozen=True)
class _Buttons:
    start: gr.Button
    stop: gr.Button
    clear: gr.Button


def build_write_tab(generate_many: Endpoint, introduction: Introduction) -> None:
    """Lays the tab out inside the current Blocks and wires it."""
    defaults = introduction.defaults
    with gr.Column(elem_id="cd-write"):
        with gr.Column(elem_id="cd-compose"):
            prompt = _prompt_box()
            with gr.Row(elem_id="cd-examples"):
                for text in introduction.persona.examples:
                    chip = gr.Button(text, size="sm")
                    chip.click(None, js=f"() => {json.dumps(text)}", outputs=prompt)
            with gr.Row(elem_id="cd-actions"):
                buttons = _Buttons(
                    gr.Button(copy.GENERATE, variant="primary", elem_id="cd-generate"),
                    gr.Button(copy.STOP, variant="stop", interactive=False, elem_id="cd-stop"),
                    gr.Button(copy.CLEAR, elem_id="cd-clear"),
                )
        cards = build_cards(introduction.persona)
        with gr.Column(elem_id="cd-settings"):
            fields = _build_settings(prompt, cards, defaults)
    _wire(generate_many, fields, cards, buttons)


def _prompt_box() -> gr.Textbox:
    box = gr.Textbox(
        value="",
        label=copy.PROMPT_LABEL,
        placeholder=copy.PROMPT_PLACEHOLDER,
        max_length=MAX_PROMPT_CHARACTERS,
        lines=1,
        max_lines=6,
        elem_id="cd-prompt",
    )
    counter = build_html(
        '<p class="cd-counter" hidden></p>',
        "counter.js",
        elem_id="cd-counter",
        words=dict(copy.COUNTER),
        limit=MAX_PROMPT_CHARACTERS,
    )
    box.change(None, js="(text) => text", inputs=box, outputs=counter)
    return box


def _build_settings(prompt: gr.Textbox, cards: gr.HTML, defaults: GenerationRequest) -> _Fields:
    count = gr.Radio(
        list(range(int(COUNT.minimum), int(COUNT.maximum) + 1)),
        value=COUNT.default,
        label=COUNT.label,
        info=COUNT.help,
        elem_id="cd-count",
    )
    preset = gr.Radio(
        [(copy.PRESETS[name], name) for name in presets(defaults)],
        value=next(iter(presets(defaults))),
        label=copy.PRESET_LABEL,
        info=copy.PRESET_HELP,
        elem_id="cd-preset",
    )
    settings: dict[str, Component] = {
        name: _slider(FIELDS[name], defaults) for name in ("max_new_tokens", "temperature")
    }
    with gr.Accordion(copy.ADVANCED, open=False):
        for name in ("top_p", "top_k", "repetition_penalty"):
            settings[name] = _slider(FIELDS[name], defaults)
        settings["seed"] = seed = _seed_box()
        with gr.Row(elem_id="cd-seed-buttons"):
            keep = gr.Button(copy.KEEP_SEED, size="sm")
            draw = gr.Button(copy.DRAW_SEED, size="sm")
    reset = gr.Button(copy.RESET, size="sm", elem_id="cd-reset")
    asking = build_html("", "ask.js", elem_id="cd-ask")
    keep.click(None, js=_KEEP_SEED, inputs=[cards, seed], outputs=seed)
    draw.click(None, js='() => ""', outputs=seed)
    fields = _Fields(prompt, count, settings, asking)
    _wire_presets(preset, reset, fields, defaults)
    return fields


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


def _seed_box() -> gr.Textbox:
    """A text box: in the browser, Gradio's number box turns "nothing" into 0, which is a seed."""
    field = FIELDS["seed"]
    return gr.Textbox(
        label=field.label,
        info=field.help,
        placeholder=copy.SEED_PLACEHOLDER,
        max_lines=1,
        elem_id="cd-seed",
    )


def _wire_presets(
    preset: gr.Radio, reset: gr.Button, fields: _Fields, defaults: GenerationRequest
) -> None:
    """A preset sets the numbers, and a number that is moved is no preset any more."""
    sliders = [fields.settings[name] for name in NUMBERS]
    values = {name: _numbers(request) for name, request in presets(defaults).items()}
    preset.input(None, js=f"(name) => ({json.dumps(values)})[name]", inputs=preset, outputs=sliders)
    moved = [slider.input for slider in sliders if isinstance(slider, gr.Slider)]
    gr.on(moved, None, js="() => null", outputs=preset)
    first = next(iter(values))
    start: list[Any] = [first, COUNT.default, "", *values[first]]
    reset.click(
        None,
        js=f"() => {json.dumps(start)}",
        outputs=[preset, fields.count, fields.settings["seed"], *sliders],
    )


def _numbers(request: GenerationRequest) -> list[float]:
    return [getattr(request, name) for name in NUMBERS]


def _wire(generate_many: Endpoint, fields: _Fields, cards: gr.HTML, buttons: _Buttons) -> None:
    """Button, Enter, links and "Continue" call one function; the rest happens in the browser."""
    triggers = [buttons.start.click, fields.prompt.submit]
    starting = [fields.prompt, fields.count, cards]
    gr.on(triggers, None, js=_START, inputs=starting, outputs=cards)
    running = gr.on(triggers, generate_many, **_call(fields, cards))

    filled = fields.asking.ask(
        None, js=_FILL, inputs=[fields.asking, *fields.inputs], outputs=fields.inputs
    )
    asked = filled.then(None, js=_START, inputs=starting, outputs=cards).then(
        generate_many, **_call(fields, cards)
    )
    for event in (running, asked):
        event.failure(None, js=_ENDED, inputs=[cards, buttons.stop], outputs=cards)
    buttons.stop.click(None, js=_STOP, outputs=buttons.stop, cancels=[running, asked])
    buttons.clear.click(None, js=_CLEAR, outputs=[fields.prompt, cards])
    states: Sequence[gr.Button] = [buttons.start, buttons.stop, buttons.clear]
    cards.change(None, js=_BUTTONS, inputs=cards, outputs=states)


def _call(fields: _Fields, cards: gr.HTML) -> dict[str, Any]:
    """How the page calls: past the API, whose endpoints have names and docs of their own."""
    return {
        "inputs": fields.inputs,
        "outputs": cards,
        "api_visibility": "private",
        "concurrency_id": ENGINE_CALLS,
        # Gradio's own checks would answer first, and not name the field.
        "preprocess": False,
        "show_progress": "hidden",
    }
