"""The writing tab: an opening, its settings, and the tweet they become.

Knows components and what happens in the browser; must not know how a text is made.
"""

import json
from collections.abc import Sequence
from functools import partial

import gradio as gr
from gradio.components import Component

from demo.generation.introduction import Introduction
from demo.generation.request import FIELDS, MAX_PROMPT_CHARACTERS, GenerationRequest
from demo.ui import copy
from demo.ui.card import build_card
from demo.ui.endpoint import Endpoint

# What the browser does by itself. A text is being made while its `finish_reason` is null.
_START = """(prompt, card) =>
    card && card.finish_reason === null ? [] : [{prompt, finish_reason: null}]"""
# Gradio cancels in a round trip, in which more text may come, and then tells of a failure. So the
# button's label keeps in mind that it was pressed, and the failure is where the card says it.
_STOP = f"() => {json.dumps(copy.STOPPING)}"
_ENDED = f"""(card, label) => {{
    if (!card || card.finish_reason !== null) return [];
    const ended = {{...card, note: ""}};
    if (label === {json.dumps(copy.STOPPING)}) return [{{...ended, finish_reason: "stopped"}}];
    return [{{...ended, finish_reason: "error", error: {json.dumps(copy.NO_ANSWER)}}}];
}}"""
_CLEAR = '() => ["", null]'
_BUTTONS = f"""(card) => {{
    const running = Boolean(card) && card.finish_reason === null;
    const enabled = (interactive) => ({{__type__: "update", interactive}});
    const stop = running ? enabled(true) : {{...enabled(false), value: {json.dumps(copy.STOP)}}};
    return [enabled(!running), stop, enabled(!running)];
}}"""


def build_write_tab(generate: Endpoint, introduction: Introduction) -> None:
    """Lays the tab out inside the current Blocks and wires it; `generate` is the endpoint."""
    slider = partial(_slider, defaults=introduction.defaults)
    with gr.Column(elem_id="cd-write"):
        with gr.Column(elem_id="cd-compose"):
            prompt = gr.Textbox(
                value="",
                label=copy.PROMPT_LABEL,
                placeholder=copy.PROMPT_PLACEHOLDER,
                max_length=MAX_PROMPT_CHARACTERS,
                lines=1,
                max_lines=6,
                elem_id="cd-prompt",
            )
            with gr.Row(elem_id="cd-examples"):
                chips = [gr.Button(text, size="sm") for text in introduction.persona.examples]
            with gr.Row(elem_id="cd-actions"):
                start = gr.Button("Generate", variant="primary", elem_id="cd-generate")
                stop = gr.Button(copy.STOP, variant="stop", interactive=False, elem_id="cd-stop")
                clear = gr.Button("Clear", elem_id="cd-clear")
        card = build_card(introduction.persona)
        with gr.Column(elem_id="cd-settings"):
            settings: list[Component] = [slider("max_new_tokens"), slider("temperature")]
            with gr.Accordion("Advanced", open=False):
                settings += [slider("top_p"), slider("top_k"), slider("repetition_penalty")]
                settings.append(_seed_box())
    for chip in chips:
        chip.click(None, js=f"() => {json.dumps(chip.value)}", outputs=prompt)
    _wire(generate, prompt, settings, card, (start, stop, clear))


def _wire(
    generate: Endpoint,
    prompt: gr.Textbox,
    settings: Sequence[Component],
    card: gr.HTML,
    buttons: tuple[gr.Button, gr.Button, gr.Button],
) -> None:
    """Button, Enter and the API share one endpoint; everything else happens in the browser."""
    start, stop, clear = buttons
    triggers = [start.click, prompt.submit]
    gr.on(triggers, None, js=_START, inputs=[prompt, card], outputs=card)
    running = gr.on(
        triggers,
        generate,
        inputs=[prompt, *settings],
        outputs=card,
        api_name="generate",
        # Gradio's own checks would answer first, and not name the field.
        preprocess=False,
        show_progress="hidden",
    )
    running.failure(None, js=_ENDED, inputs=[card, stop], outputs=card)
    stop.click(None, js=_STOP, outputs=stop, cancels=[running])
    clear.click(None, js=_CLEAR, outputs=[prompt, card])
    card.change(None, js=_BUTTONS, inputs=card, outputs=[start, stop, clear])


def _slider(name: str, defaults: GenerationRequest) -> gr.Slider:
    field = FIELDS[name]
    return gr.Slider(
        field.minimum,
        field.maximum,
        getattr(defaults, name),
        step=field.step,
        precision=0 if field.whole else None,
        label=field.label,
        info=field.help,
    )


def _seed_box() -> gr.Textbox:
    """A text box: in the browser, Gradio's number box turns "nothing" into 0, which is a seed."""
    field = FIELDS["seed"]
    box = gr.Textbox(
        label=field.label, info=field.help, placeholder="drawn", max_lines=1, elem_id="cd-seed"
    )
    # For programs it is what it always was, a number.
    vars(box)["api_info"] = lambda: {"type": "integer"}
    return box
