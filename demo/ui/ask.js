// Fills the fields and generates: what a link, "Continue" and the like ask for. Others of this
// page's scripts call root.computerDumpAsk.
root.computerDumpAsk = (fields) => {
  props.value = { ...fields, at: Date.now() };
  trigger("ask");
};

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
setTimeout(follow, 300);
