// Draws props.value, a result of /generate, into card.html. Visitors' and models' words enter the
// page through textContent only. (In the template they would be run as code: Gradio evaluates it.)
const part = (name) => element.querySelector(".cd-" + name);
const card = part("card");

function put(name, text) {
  const target = part(name);
  if (target.textContent !== text) target.textContent = text;
  target.hidden = !text;
}

function stateOf(result) {
  if (!result) return "empty";
  if (result.finish_reason !== null) return result.error ? "failed" : "finished";
  return result.generated ? "writing" : "waiting";
}

function draw() {
  const result = props.value || {};
  const state = stateOf(props.value);
  const text = result.text || "";
  card.dataset.state = state;
  part("live").setAttribute("aria-busy", String(state === "waiting" || state === "writing"));
  put("prompt", result.prompt || "");
  put("generated", result.generated || "");
  part("text").hidden = state === "empty" || (state === "failed" && !text);
  put("quiet", { empty: props.empty, waiting: props.waiting }[state] || "");
  put("error", result.error || "");
  put("finish", props.finish[result.finish_reason] || "");
  put("note", result.note || "");
  put("count", result.generated ? result.characters + " / 280" : "");
  part("count").classList.toggle("cd-over", result.characters > 280);
  part("legend").hidden = !(result.prompt && result.generated);
  put("source", result.generated ? result.source || "" : "");
  part("copy").hidden = !(result.shareable && result.generated);
}

// Plain http pages have no navigator.clipboard; the older way needs a selected, visible field.
function copyBySelection(text) {
  const field = document.createElement("textarea");
  field.value = text;
  field.style.cssText = "position:fixed;top:0;opacity:0";
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  return copied;
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

part("copy").addEventListener("click", async () => {
  const button = part("copy");
  const copied = await copyText(props.value.shareable);
  button.textContent = copied ? "Copied, with its label" : "Copying was refused";
  button.focus();
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
});

watch("value", draw);
draw();
