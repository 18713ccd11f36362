// Fills the fields and generates: what a link, "Continue" and the like ask for. Others of this
// page's scripts call root.computerDumpAsk.
root.computerDumpAsk = (fields) => {
  if (root.computerDumpBusy) return;
  props.value = { ...fields, at: Date.now() };
  trigger("ask");
};

// One text, or set of texts, at a time: the button is disabled meanwhile, Enter is stopped here.
root.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !root.computerDumpBusy || !event.target.closest("#cd-prompt")) return;
  event.preventDefault();
  event.stopPropagation();
}, true);

// When the connection is lost, Gradio loads the page again once it is back. What was typed is kept
// with this entry of the tab's history, which no other page can read; not in a page of others.
const typed = () => root.querySelector("#cd-prompt textarea");
if (!isEmbed) {
  let pause = null;
  root.addEventListener("input", (event) => {
    if (event.target !== typed()) return;
    clearTimeout(pause);
    pause = setTimeout(() => {
      window.history.replaceState({ ...window.history.state, computerDump: event.target.value }, "");
    }, 400);
  });
}

function restore() {
  const kept = !isEmbed && (window.history.state || {}).computerDump;
  if (!kept || !typed() || typed().value) return;
  typed().value = kept;
  typed().dispatchEvent(new Event("input", { bubbles: true }));
}

// A link of ours in the address: but in an embed the address is the host page's own.
function linked() {
  if (isEmbed) return null;
  const given = Object.fromEntries(new URLSearchParams(window.location.hash.slice(1)));
  return "seed" in given ? { prompt: "", ...given } : null;
}

function follow() {
  const fields = linked();
  if (!fields) return;
  root.computerDumpLinked = fields;
  root.computerDumpAsk({ ...fields, count: 1 });
}

window.addEventListener("hashchange", () => { if (element.isConnected) follow(); });
// Gradio wires events after the components are there.
setTimeout(() => { restore(); follow(); }, 300);
