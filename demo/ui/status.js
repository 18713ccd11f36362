// Asks the server whether the engine is there, until it is, and says what visitors should know.
// Words enter the page through textContent only.
const line = element.querySelector(".cd-notice");
// In an embed the page is somebody else's; Gradio keeps the app's own address.
const root = (window.gradio_config && window.gradio_config.root) || "";
const embed = element.closest("gradio-app");
const base = (embed && embed.getAttribute("src")) || root || window.location.origin;
const RETRY_MILLISECONDS = 1000;

async function ask() {
  try {
    const answer = await fetch(base.replace(/\/+$/, "") + "/readyz", { cache: "no-store" });
    return await answer.json();
  } catch {
    return null;
  }
}

async function show() {
  if (!element.isConnected) return;
  const answer = await ask();
  const status = answer ? answer.status : "unreachable";
  const words = props.words[status] || (answer && answer.notice) || "";
  if (line.textContent !== words) line.textContent = words;
  line.hidden = !words;
  if (status !== "ready") setTimeout(show, RETRY_MILLISECONDS);
}

show();
