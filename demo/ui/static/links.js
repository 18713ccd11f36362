// Links to texts that the model writes again.

// In the fragment, which no browser sends to a server: nothing of it can reach a log.
function linkTo(result) {
  return base + "/#" + new URLSearchParams(requestOf(result));
}

function requestOf(result) {
  return { prompt: result.prompt, ...result.settings, by: runs(result) };
}

// "Fool a friend": the link holds the request of a text and not the text. The friend's page has the model
// write it again, so no link can pass off words that the model did not write. It is packed, since the
// opening, which can be read in other links, would give the text away.
const FOOL_WORDS = "One of these is a real tweet. A computer wrote the other. Can you tell?";

function friendLink(result) {
  const bytes = new TextEncoder().encode(JSON.stringify(requestOf(result)));
  const packed = btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return base + "/#fool=" + packed;
}

// The request in this address, `{}` if it is damaged, or null if the address is another.
function friendRequest(hash) {
  const packed = new URLSearchParams(hash.slice(1)).get("fool");
  if (packed === null) return null;
  try {
    const bytes = atob(packed.replaceAll("-", "+").replaceAll("_", "/"));
    const fields = JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0))));
    return fields && typeof fields.prompt === "string" ? fields : {};
  } catch {
    return {};
  }
}

// A finished text that repeats no real tweet, and most of which the computer wrote.
function canFool(result) {
  const isWhole = result.finish_reason === "end_of_tweet" && !result.repeats.length;
  return isWhole && result.generated.trim().length >= result.prompt.trim().length;
}

// That text as it may stand beside a real tweet, and the tweet.
function twinsOf(result) {
  return send("/guess/twin", { text: result.text, seed: result.settings.seed });
}

// Which checkpoint, engine and precision wrote a text: any other may write another.
function runs(result) {
  return `${result.checkpoint}@${result.revision} ${result.engine} ${result.precision}`;
}

// What is said of a text that was asked for by a link which names the one that wrote it first.
function difference(result, { by }) {
  if (!by || by === runs(result)) return "";
  return "This link was made with another version of the model, so the text may differ.";
}
