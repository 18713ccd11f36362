// What the game keeps. The round under way is in this tab's sessionStorage, so that a reload goes on with
// it; the Daily Ten and its streak are in this browser's localStorage, and in no other place.
const STORE = "computer-dump-game " + base;
const NOTHING = { visit: null, item: null, round: null, score: { answers: 0, right: 0, machine: 0, machineRight: 0 } };
const DAY_MILLISECONDS = 24 * 60 * 60 * 1000;
// round: null, or { mode: "free" or "daily", day, number, results }; a result is what the server told of
// an answer, with its text and the guess.
const kept = { ...structuredClone(NOTHING), ...stored("sessionStorage", STORE) };

function forget() {
  Object.assign(kept, structuredClone(NOTHING));
  keep();
}

// Nothing is stored before the first round.
function keep() {
  if (kept.round || kept.score.answers || stored("sessionStorage", STORE)) store("sessionStorage", STORE, kept);
}

// Adds a result to the round and to all that is counted of it.
function count(result) {
  const { round, score } = kept;
  round.results.push(result);
  score.answers += 1;
  score.right += result.right;
  if (result.detector) {
    score.machine += 1;
    score.machineRight += result.detector.right;
  }
  if (round.mode === "daily") writeDiary(round);
}

const right = (results) => results.filter((result) => result.right).length;
const squares = (results) => results.map((result) => (result.right ? "🟩" : "🟥")).join("");

// Of the same tweets; null where nothing judged them.
function machineRight(results) {
  const judged = results.filter((result) => result.detector);
  return judged.length ? judged.filter((result) => result.detector.right).length : null;
}

// --- the Daily Ten ---

function diary() {
  const found = stored("localStorage", STORE);
  return found && Array.isArray(found.results) ? found : { day: "", number: 0, results: [], streak: 0, last: "" };
}

function writeDiary({ day, number, results }) {
  const { streak, last } = diary();
  const isWhole = results.length === props.rounds && last !== day;
  const days = last === dayBefore(day) ? streak + 1 : 1;
  store("localStorage", STORE, { day, number, results, streak: isWhole ? days : streak, last: isWhole ? day : last });
}

const isoDay = (time) => new Date(time).toISOString().slice(0, 10);
const utcDay = () => isoDay(Date.now());
const dayBefore = (day) => isoDay(Date.parse(day) - DAY_MILLISECONDS);

// Days in a row, up to today or yesterday, on which all ten were guessed.
function streakNow() {
  const { streak, last } = diary();
  return [utcDay(), dayBefore(utcDay())].includes(last) ? streak : 0;
}
