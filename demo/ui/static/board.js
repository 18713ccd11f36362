// Draws the game: what is kept of it (round.js) in the markup of guess.html.
const game = part("game");
const answers = [...game.querySelectorAll(".cd-answer")];
// The counts of all visitors, as the server last told them.
let everyone = null;

// Draws what is kept. A message stands in the place of a text, `next` is what the button below says.
function show(state, message = "", next = "") {
  const { round, item } = kept;
  game.dataset.state = state;
  put(part("message"), message);
  put(part("next"), next);
  answers.forEach((button) => {
    button.disabled = state !== "asking";
    button.ariaPressed = item && item.guess === button.dataset.guess ? "true" : null;
  });
  if (state === "start") drawStart();
  if (round) drawProgress(round, state);
  drawResult(item && item.result);
  if (state === "over") drawEnd(round);
  drawScores();
}

function drawStart() {
  put(part("daily-help"), dailyHelp());
  put(part("streak"), isEmbed ? "" : streak());
}

function dailyHelp() {
  const { day, results } = diary();
  if (day !== utcDay() || !results.length) return "The same ten tweets for everyone. New ones at midnight UTC.";
  if (results.length < props.rounds) return `Go on with tweet ${results.length + 1} of ${props.rounds}.`;
  return `Today you got ${right(results)} of ${props.rounds}. New ones at midnight UTC.`;
}

function streak() {
  const days = streakNow();
  return `${days ? `Daily streak: day ${days}. ` : ""}Your streak is kept in this browser and nowhere else.`;
}

function drawItem({ text }) {
  putMarked(part("item-text"), text, []);
  part("item-text").hidden = false;
  const isRedacted = part("item-text").querySelector(".cd-redacted");
  put(part("handles"), isRedacted ? "@▇▇▇▇ stands for a name: the data come without most of them." : "");
}

function drawProgress({ results }, state) {
  const count = results.length + (state === "told" ? 0 : 1);
  put(part("place"), `${Math.min(count, props.rounds)} of ${props.rounds}`);
  put(part("squares"), squares(results) + "⬜".repeat(props.rounds - results.length));
  const machine = machineRight(results);
  put(part("duel"), machine === null ? "" : `You ${right(results)}, machine ${machine}`);
}

function drawResult(result) {
  part("reveal").hidden = !result;
  Object.assign(game.dataset, { right: "", truth: "" }, result && { right: result.right, truth: result.truth });
  if (!result) return;
  const { right: isRight, truth, guess, link, source, today } = result;
  const wrong = truth === "real" ? `Nope: ${props.person} really posted that.` : "Fooled: a computer wrote that.";
  put(part("outcome"), isRight ? "Correct!" : wrong);
  put(part("origin"), origin(result));
  part("original").hidden = !lead(part("original"), link);
  put(part("said"), `You said ${side(guess)}. ${machineSaid(result)}`.trim());
  put(part("crowd"), crowd(today));
  part("written").hidden = !source;
  put(part("source"), source);
}

const side = (truth) => (truth === "real" ? props.real : props.computer);

function origin({ truth, date, label }) {
  if (truth !== "real") return `Computer. ${label}.`;
  return `Real. ${props.person}${date ? `, ${longDate(date)}` : ""}.`;
}

function machineSaid({ detector }) {
  if (!detector) return "";
  return `Our detector got it ${detector.right ? "right" : "wrong"} (${Math.round(100 * detector.probability)}% computer).`;
}

function crowd(today) {
  if (!today) return "";
  if (today.answers === 1) return "You are the first to guess this one today.";
  const fooled = Math.round((100 * today.fooled) / today.answers);
  return `${fooled}% of ${today.answers.toLocaleString()} players were fooled today.`;
}

function drawEnd({ mode, number, results }) {
  const mine = right(results);
  const machine = machineRight(results);
  const isDaily = mode === "daily";
  put(part("over-title"), isDaily ? `The Daily Ten #${number}` : "Random round");
  put(part("score"), `${mine} of ${props.rounds}`);
  put(part("contest"), machine === null ? "" : contest(mine, machine));
  const daily = `${isEmbed ? "" : streak() + " "}The next ten come at midnight UTC.`;
  put(part("over-streak"), isDaily ? daily : "");
  put(part("share"), toShare(kept.round, mine, machine));
  put(part("play-again"), isDaily ? "Play a random round" : "Play again");
  part("recap").replaceChildren(...results.map(recap));
}

function contest(mine, machine) {
  if (mine === machine) return `A draw: the machine got ${machine}, too.`;
  return mine > machine ? `You beat the machine: it got ${machine}.` : `The machine beat you: it got ${machine}.`;
}

// Without a spoiler: which tweets were real is not in it.
function toShare({ mode, number, results }, mine, machine) {
  if (mode === "daily") {
    const scores = `you ${mine}${machine === null ? "" : `, machine ${machine}`}`;
    return `${props.title} #${number} ${squares(results)} ${scores}`;
  }
  const scores = `${mine}/${props.rounds}${machine === null ? "" : ` (the machine: ${machine}/${props.rounds})`}`;
  return `${props.title} ${scores}. Can you beat me?\n${squares(results)}`;
}

function recap(result) {
  const text = make("p", { className: "cd-recap-text", dir: "auto" });
  putMarked(text, result.text, []);
  const link = make("a", { target: "_blank", rel: "noopener" }, "See the original");
  const more = make("p", { className: "cd-quiet" }, origin(result), ...(lead(link, result.link) ? [" ", link] : []));
  const verdict = `You said ${side(result.guess)}: ${result.right ? "correct" : "fooled"}.`;
  const item = make("li", {}, text, more, make("p", { className: "cd-recap-said" }, verdict));
  Object.assign(item.dataset, { truth: result.truth, right: result.right });
  return item;
}

function drawScores() {
  const { score } = kept;
  const all = everyone || {};
  part("score-rows").replaceChildren(
    scoreRow("You", score.right, score.answers),
    scoreRow("Detector, same tweets", score.machineRight, score.machine),
    scoreRow("All visitors", all.right, all.answers),
    scoreRow("Detector, everyone's tweets", all.detector_right, all.detector_answers),
  );
  if (everyone) put(part("kept"), everyone.kept ? "We count right and wrong answers, nothing else." : "Counts since the last restart. Nothing else is kept.");
}

// Without a number while nobody's answers are known.
function scoreRow(player, right, answers) {
  const share = answers ? Math.round((100 * right) / answers) + "%" : "–";
  const count = answers === undefined ? "" : answers.toLocaleString();
  return make("tr", {}, make("th", { scope: "row" }, player), make("td", {}, share), make("td", {}, count));
}
