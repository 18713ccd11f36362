// The game in the browser. It holds a text and a ticket; whether the text is real is known to the
// server alone until the ticket is answered. The score is this page's: leaving it forgets it.
const words = props.words;
const game = element.querySelector(".cd-game");
const part = (name) => game.querySelector(".cd-" + name);
const RETRY_MILLISECONDS = 2000;
const score = { answers: 0, right: 0, machine: 0, machineRight: 0, round: [] };
let visit = null;
let item = null;
let busy = false;
let retry = null;

function percent(right, of) {
  return of ? Math.round((100 * right) / of) + "%" : "–";
}

function drawScores(everyone) {
  part("you").textContent = percent(score.right, score.answers);
  part("you-n").textContent = score.answers;
  part("machine-here").textContent = percent(score.machineRight, score.machine);
  part("machine-here-n").textContent = score.machine;
  if (!everyone) return;
  part("everyone").textContent = percent(everyone.right, everyone.answers);
  part("everyone-n").textContent = everyone.answers.toLocaleString();
  part("machine-all").textContent = percent(everyone.detector_right, everyone.detector_answers);
  part("machine-all-n").textContent = everyone.detector_answers.toLocaleString();
  put(part("kept"), everyone.kept ? words.kept : words.not_kept);
}

function state(name, message = "") {
  game.dataset.state = name;
  put(part("message"), message);
  game.querySelectorAll(".cd-answer").forEach((button) => { button.disabled = name !== "asking"; });
}

function drawProgress() {
  const count = score.round.length + (game.dataset.state === "told" ? 0 : 1);
  put(part("progress"), filled(words.progress, Math.min(count, props.rounds), props.rounds));
}

async function next() {
  if (busy) return;
  busy = true;
  clearTimeout(retry);
  try {
    const answer = await send("/guess/next", { visit });
    if (answer.state === "off") return state("off", answer.reason);
    if (answer.state === "waiting") {
      state("waiting", words.waiting);
      put(part("next"), "");
      retry = setTimeout(again, RETRY_MILLISECONDS);
      return;
    }
    ({ visit } = answer);
    item = answer;
    if (score.round.length === props.rounds) score.round = [];
    part("round-end").hidden = true;
    put(part("item-text"), item.text);
    state("asking");
    drawProgress();
    drawScores(item.everyone);
    // The button that was pressed is gone; a reader goes on at the text.
    part("item").focus({ preventScroll: true });
  } catch (error) {
    state("waiting", error.message || words.unreachable);
    put(part("next"), words.again);
  } finally {
    busy = false;
  }
}

// Nobody is asked for who looks at another tab.
function again() {
  if (element.offsetParent) next();
  else if (element.isConnected) retry = setTimeout(again, RETRY_MILLISECONDS);
}

async function answer(guess) {
  if (busy || game.dataset.state !== "asking") return;
  busy = true;
  state("answering");
  try {
    tell(await send("/guess/answer", { ticket: item.ticket, guess }), guess);
  } catch (error) {
    if (error.message) refuse(error.message);
    // Nobody heard it: it may be answered again.
    else state("asking", words.unreachable);
  } finally {
    busy = false;
  }
}

function refuse(sentence) {
  state("told", sentence);
  ["outcome", "truth", "machine", "source"].forEach((name) => put(part(name), ""));
  part("item-link").hidden = true;
  delete game.dataset.truth;
  delete game.dataset.right;
  put(part("next"), words.next);
}

function tell(told, guess) {
  score.answers += 1;
  score.right += told.right;
  score.round.push(told.right);
  if (told.detector) {
    score.machine += 1;
    score.machineRight += told.detector.right;
  }
  state("told");
  game.dataset.right = told.right;
  game.dataset.truth = told.truth;
  put(part("outcome"), told.right ? words.right : words.wrong);
  put(part("truth"), told.truth === "real" ? filled(words.was_real, told.date) : words.was_computer + " " + told.label + ".");
  const link = part("item-link").firstElementChild;
  part("item-link").hidden = !lead(link, told.link);
  link.textContent = words.link;
  put(part("source"), told.source);
  put(part("machine"), told.detector ? filled(told.detector.right ? words.machine_right : words.machine_wrong, Math.round(100 * told.detector.probability)) : "");
  const over = score.round.length === props.rounds;
  put(part("next"), over ? words.new_round : words.next);
  drawProgress();
  drawScores(told.everyone);
  if (over) endRound();
  part("next").focus({ preventScroll: true });
}

function endRound() {
  const right = score.round.filter(Boolean).length;
  const squares = score.round.map((hit) => (hit ? "🟩" : "🟥")).join("");
  part("share").textContent = [filled(words.share_text, right, props.rounds, props.title), squares, base + "/#guess"].join("\n");
  part("round-end").hidden = false;
}

game.querySelectorAll(".cd-answer").forEach((button) => {
  button.addEventListener("click", () => answer(button.dataset.guess));
});
part("next").addEventListener("click", next);
part("share-copy").addEventListener("click", () => {
  copyAndSay(part("share-copy"), part("share").textContent, words.share_copied, words.refused);
});
// Keys count while the game is there to be seen and they mean nothing else where they are pressed; in
// a page of others only inside the game.
const MEANT_OTHERWISE = "input, textarea, select, [contenteditable], [role=tab]";
function onKey(event) {
  if (!element.isConnected) return document.removeEventListener("keydown", onKey);
  if (event.repeat || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!element.offsetParent || (isEmbed && !game.contains(event.target))) return;
  if (event.target.closest && event.target.closest(MEANT_OTHERWISE)) return;
  const key = event.key.toLowerCase();
  if (event.key === "ArrowLeft" || key === "r") answer("real");
  else if (event.key === "ArrowRight" || key === "c") answer("computer");
}
document.addEventListener("keydown", onKey);

if (props.off) {
  state("off", props.off);
} else {
  state("waiting", words.begin);
  put(part("next"), words.start);
}
drawScores(null);
["everyone", "machine-all"].forEach((name) => { part(name).textContent = "–"; });
