// Functions that Gradio runs in the browser at the events of write.py and detect.py, each cut out of this
// file and run on its own. The first argument is what Python passes, the others are the event's inputs; an
// array is the values of its outputs, an empty one leaves them as they are. `cards` is a result of
// /generate_many.

function give({ values }) {
  return values;
}

function count(_, text, now) {
  return [{ ...now, text }];
}

function keepSeed(_, cards, seed) {
  const written = cards && cards.texts.find((text) => text.settings);
  return written ? String(written.settings.seed) : seed;
}

function chooseMood({ moods }, name) {
  return moods[name];
}

// What a link or an example asks for, over what the fields say now; a number over its limits is ignored.
function fill({ names, limits }, now, ...fields) {
  const ask = now.ask || {};
  const filled = names.map((name, i) => {
    if (!(name in ask)) return fields[i];
    if (name === "prompt" || name === "seed") return String(ask[name]);
    const [least, most] = limits[name];
    const number = Number(ask[name]);
    return String(ask[name]).trim() && least <= number && number <= most ? number : fields[i];
  });
  return [{ ...now, ask: null }, ...filled];
}

// Cards that wait for their first words, each for so many tokens at most, and that nobody stopped yet.
function start({ text }, prompt, count, tokens, cards) {
  if (cards && !cards.finished) return [];
  const texts = Array.from({ length: count }, () => ({ ...text, prompt, text: prompt }));
  return [{ texts, label: text.label, finished: false, carried: null, tokens }, ""];
}

// Goes on from the end of the card `cards.carry`. The other cards stay: cards.html shows them all.
function carry({ text }, tokens, cards) {
  const { texts, label, carry: at } = cards;
  const prompt = texts[at].text;
  return [{ texts: [{ ...text, prompt, text: prompt }], label, finished: false, carried: { texts, at }, tokens }, "", prompt];
}

// Gradio cancels in a round trip, in which more text may come, and then tells of a failure. So that it
// was stopped is kept beside the cards, and said in them once that failure comes.
function end({ error, cut }, cards, stopped) {
  if (!cards || cards.finished) return [];
  const { refusal = "" } = window.computerDump || {};
  const how = (text) => {
    if (stopped) return { finish_reason: "stopped" };
    return { finish_reason: "error", error: text.generated ? cut : refusal || error };
  };
  const texts = cards.texts.map((text) => (text.finish_reason === null ? { ...text, note: "", ...how(text) } : text));
  return [{ ...cards, texts, finished: true }];
}

// Why there is no verdict, unless Gradio itself has shown what the server said.
function noVerdict({ error }) {
  const { refusal = "", isLost = false } = window.computerDump || {};
  const why = refusal || (isLost ? error : "");
  return why ? [{ error: why }] : [];
}

// Which of Generate, Stop, Clear and the examples can be pressed.
function enable({ stop, examples }, cards) {
  const running = Boolean(cards) && !cards.finished;
  const enabled = (interactive) => ({ __type__: "update", interactive });
  const others = Array.from({ length: 1 + examples }, () => enabled(!running));
  return [enabled(!running), running ? enabled(true) : { ...enabled(false), value: stop }, ...others];
}
