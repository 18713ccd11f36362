// The texts of this visit, listed below the cards, each of which can be shown again.
const history = part("history");
const STORE = "computer-dump-tweets";
const MOST_KEPT = 50;
const KEPT = "Kept only in this tab. A reload keeps the list; closing the tab clears it.";
const NOT_KEPT = "Kept only on this page. Leaving or reloading it clears the list.";
// Not in a page of others, nor in one that frames ours.
const isKept = !isEmbed && window.top === window;
const visit = (isKept && stored("sessionStorage", STORE)) || [];

function remember(texts) {
  for (const result of texts) {
    if (result.generated && result.settings && !result.isSpecimen && !visit.some((known) => known.shareable === result.shareable)) visit.unshift(result);
  }
  visit.splice(MOST_KEPT);
  keep();
}

function keep() {
  if (isKept) store("sessionStorage", STORE, visit.length ? visit : null);
  drawHistory();
}

function drawHistory() {
  history.hidden = !visit.length;
  put(part("history-kept"), isKept ? KEPT : NOT_KEPT);
  put(part("history-title"), `Your tweets so far (${visit.length})`);
  part("history-list").replaceChildren(...visit.map(entry));
}

function entry(result) {
  const show = make("button", { type: "button", disabled: root.computerDumpBusy }, "Show");
  show.addEventListener("click", () => {
    props.value = { texts: [result], label: result.label, finished: true, carried: null };
    drawAll();
    cards.scrollIntoView({ block: "nearest" });
  });
  const text = make("span", { className: "cd-history-text", dir: "auto" }, result.text);
  redact(text);
  return make("li", {}, text, show);
}

part("history-clear").addEventListener("click", () => {
  visit.length = 0;
  keep();
});
