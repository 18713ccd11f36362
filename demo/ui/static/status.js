// Asks the server whether the engine is there, until it is, and says what visitors should know.
const RETRY_MILLISECONDS = 1000;
const line = element.querySelector(".cd-notice");

async function ask() {
  try {
    const answer = await fetch(base + "/readyz", { cache: "no-store" });
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
  put(line, words);
  if (status !== "ready") setTimeout(show, RETRY_MILLISECONDS);
}

show();
