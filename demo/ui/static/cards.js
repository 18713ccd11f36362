// Draws props.value, a result of /generate_many, as cards, and keeps the visit's history: in this
// closure and nowhere else.
const words = props.words;
const cards = element.querySelector(".cd-cards");
const history = element.querySelector(".cd-history");
const visit = [];

function stateOf(result) {
  if (!result) return "empty";
  if (result.finish_reason !== null) return result.error ? "failed" : "finished";
  return result.generated ? "writing" : "waiting";
}

// Text from `offset` on of the whole, with what real tweets have too underlined.
function mark(target, text, offset, passages) {
  const key = text + JSON.stringify(passages);
  if (target.dataset.drawn === key) return;
  target.dataset.drawn = key;
  target.replaceChildren();
  let at = offset;
  const end = offset + text.length;
  const take = (until) => {
    const piece = text.slice(at - offset, Math.min(until, end) - offset);
    at += piece.length;
    return piece;
  };
  for (const [from, to] of passages) {
    if (to <= at || from >= end) continue;
    target.append(take(Math.max(from, at)));
    const repeated = document.createElement("u");
    repeated.title = words.repeated;
    repeated.textContent = take(to);
    target.append(repeated);
  }
  target.append(take(end));
  target.hidden = !text;
}

// Python counts characters, JavaScript halves of surrogate pairs.
function inUnits(text, passages) {
  const starts = [0];
  for (const character of text) starts.push(starts[starts.length - 1] + character.length);
  return passages.map(([from, to]) => [starts[from], starts[to]]);
}

function draw(card, result) {
  const part = (name) => card.querySelector(".cd-" + name);
  const state = stateOf(result);
  const { text = "", prompt = "", generated = "" } = result || {};
  const passages = inUnits(text, (result && result.repeats) || []);
  card.dataset.state = state;
  part("live").setAttribute("aria-busy", String(state === "waiting" || state === "writing"));
  mark(part("prompt"), prompt, 0, passages);
  mark(part("generated"), generated, prompt.length, passages);
  part("text").hidden = state === "empty" || (state === "failed" && !text);
  put(part("quiet"), { empty: words.empty, waiting: words.waiting }[state] || "");
  const { error = "", finish_reason: reason, note = "", source = "" } = result || {};
  put(part("error"), error);
  put(part("finish"), props.finish[reason] || "");
  put(part("note"), note);
  put(part("differs"), state === "finished" ? difference(result) : "");
  put(part("count"), generated ? result.characters + " / 280" : "");
  part("count").classList.toggle("cd-over", Boolean(generated) && result.characters > 280);
  part("legend").hidden = !(prompt && generated);
  put(part("source"), generated ? source : "");
  part("tools").hidden = !(generated && reason);
}

function drawAll() {
  const value = props.value;
  const texts = value ? value.texts : [null];
  while (cards.children.length > texts.length) cards.lastElementChild.remove();
  while (cards.children.length < texts.length) cards.append(newCard());
  cards.dataset.count = texts.length;
  texts.forEach((result, i) => draw(cards.children[i], result));
  // Others of this page's scripts look here before they ask for more.
  root.computerDumpBusy = Boolean(value && !value.finished);
  element.querySelectorAll(".cd-carry, .cd-history button").forEach((button) => { button.disabled = root.computerDumpBusy; });
  if (value && value.finished) remember(texts);
}

function newCard() {
  const card = element.querySelector(".cd-blank").content.firstElementChild.cloneNode(true);
  const result = () => props.value.texts[[...cards.children].indexOf(card)];
  const on = (name, act) => {
    const button = card.querySelector(".cd-" + name);
    button.addEventListener("click", () => act(button));
  };
  on("copy", (button) => copyAndSay(button, result().shareable, words.copied, words.refused));
  on("link", (button) => copyAndSay(button, linkTo(result()), words.linked, words.refused));
  on("picture", () => downloadPicture(result()));
  on("carry", () => root.computerDumpAsk({ prompt: result().text, count: 1, seed: "" }));
  return card;
}

// --- links ---

function runs(result) {
  return `${result.checkpoint}@${result.revision} ${result.engine} ${result.precision}`;
}

// In the fragment, which no browser sends to a server: nothing of it can reach a log.
function linkTo(result) {
  const fields = { prompt: result.prompt, ...result.settings, by: runs(result) };
  return base + "/#" + new URLSearchParams(fields);
}

function difference(result) {
  const linked = root.computerDumpLinked;
  if (!linked || String(result.settings.seed) !== linked.seed || result.prompt !== linked.prompt.trimEnd()) return "";
  return linked.by && linked.by !== runs(result) ? filled(words.differs, linked.by, runs(result)) : "";
}

// --- this visit's history ---

function remember(texts) {
  for (const result of texts) {
    if (result.generated && result.settings && !visit.some((known) => known.shareable === result.shareable)) visit.unshift(result);
  }
  drawHistory();
}

function drawHistory() {
  history.hidden = !visit.length;
  put(history.querySelector(".cd-history-title"), filled(words.history, visit.length));
  history.querySelector(".cd-history-list").replaceChildren(...visit.map(entry));
}

function entry(result) {
  const item = document.createElement("li");
  const text = document.createElement("span");
  text.className = "cd-history-text";
  text.dir = "auto";
  text.textContent = result.text;
  const show = document.createElement("button");
  show.type = "button";
  show.textContent = words.history_show;
  show.disabled = root.computerDumpBusy;
  show.addEventListener("click", () => {
    props.value = { texts: [result], finished: true };
    drawAll();
    cards.scrollIntoView({ block: "nearest" });
  });
  item.append(text, show);
  return item;
}

element.querySelector(".cd-history-clear").addEventListener("click", () => {
  visit.length = 0;
  drawHistory();
});

watch("value", drawAll);
drawAll();
