// Says how much of what may be typed is typed: characters at once, tokens as this model counts
// them once the typing pauses.
const PAUSE_MILLISECONDS = 350;
const line = element.querySelector(".cd-counter");
let timer = null;
let latest = 0;

function show(text, counted) {
  // As Python counts: an emoji is one, not two halves.
  const characters = [...text].length;
  const parts = [filled(props.words.characters, characters.toLocaleString(), props.limit.toLocaleString())];
  if (counted) parts.push(filled(props.words.tokens, counted.tokens, counted.limit));
  const over = characters > props.limit || (counted && counted.tokens > counted.limit);
  if (over) parts.push(characters > props.limit ? props.words.too_long : props.words.over);
  // A reader is told when it is too much, not at every key.
  line.setAttribute("aria-live", over ? "polite" : "off");
  line.classList.toggle("cd-over", Boolean(over));
  put(line, text ? parts.join(" · ") : "");
}

async function count(text) {
  const mine = (latest += 1);
  try {
    const counted = await send("/count", { text });
    if (mine === latest) show(text, counted.tokens === null ? null : counted);
  } catch {
    // A server that does not count is told of elsewhere; the characters stand.
  }
}

watch("value", () => {
  const text = props.value || "";
  latest += 1;
  clearTimeout(timer);
  show(text, null);
  if (text && [...text].length <= props.limit) timer = setTimeout(() => count(text), PAUSE_MILLISECONDS);
});
