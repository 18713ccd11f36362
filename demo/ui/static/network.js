// Put before page.html's script: stands between Gradio's client and the server, for requests to this
// demo's calls alone. If the network or the server fails, the client by itself waits for ever, or loads
// the whole page again once it can: in an embed, the host's. Here such a call fails, and the page stays.
const SILENCE_MILLISECONDS = 3000;
const MOST_SILENCES = 4;
const PROBE_MILLISECONDS = 3000;
const CANCEL_MILLISECONDS = 2000;
const JOIN_MILLISECONDS = 8000;
// Gradio acts on an update a moment after it came, and on the end of a stream at once.
const UPDATE_MILLISECONDS = 50;
// In the form of Gradio's own messages: every call of the stream has failed, and the stream ends.
const FAILED = ["unexpected_error", "close_stream"]
  .map((msg) => `data: ${JSON.stringify({ msg, message: "", success: false })}\n\n`).join("");
const calls = new URL(base, document.baseURI).href.replace(/\/+$/, "") + "/gradio_api/";
// Of all embeds of a page. `refusal` is what a card says if the last call was refused: see events.js.
// `isLost`: the stream of its answers ended before it was over.
const network = window.computerDump = window.computerDump || { refusal: "", isLost: false, guarded: [] };

// How to end the stream of a session, which is a page's or an embed's.
const ends = new Map();

if (!network.guarded.includes(calls)) {
  network.guarded.push(calls);
  const plain = window.fetch;
  window.fetch = (...request) => {
    const address = String((request[0] && request[0].url) || request[0]);
    const call = address.startsWith(calls) ? address.slice(calls.length).split("?")[0] : "";
    if (call === "queue/join") return join(plain, ...request);
    if (call === "queue/data") return follow(plain, address, request);
    if (call === "cancel") return cancel(plain, ...request);
    return plain(...request);
  };
}

function limit(milliseconds) {
  return { signal: AbortSignal.timeout(milliseconds) };
}

// Sends a call. Gradio has a sentence of its own for 503, and would load the page again if nobody answered.
async function join(plain, address, request) {
  network.refusal = "";
  network.isLost = false;
  let detail = props.words.unanswered;
  try {
    const answer = await plain(address, { ...request, ...limit(JOIN_MILLISECONDS) });
    if (answer.ok) return answer;
    const body = await answer.json();
    if (typeof body.detail === "string") detail = body.detail;
  } catch {
    // Nobody answered, or a proxy did, in HTML.
  }
  network.refusal = detail;
  return new Response(JSON.stringify({ detail }), { status: 500, headers: { "content-type": "application/json" } });
}

// Stops a call. If the server does not hear of it, the stream ends, and so the server ends the call later.
async function cancel(plain, address, request) {
  // Looked up before the server is asked: by the time it answers, the next call may have a stream.
  const end = ends.get(JSON.parse(request.body).session_hash);
  try {
    return await plain(address, { ...request, ...limit(CANCEL_MILLISECONDS) });
  } catch (error) {
    if (end) end();
    throw error;
  }
}

// Passes the stream of answers on. However it ends, Gradio is told that it does.
async function follow(plain, address, request) {
  const session = new URL(address).searchParams.get("session_hash");
  const ended = new Promise((_, reject) => { ends.set(session, reject); });
  ended.catch(() => {});
  let reader = null;
  const read = async () => {
    if (!reader) {
      const answer = await plain(...request);
      if (!answer.ok) throw new Error("refused");
      reader = answer.body.getReader();
    }
    return reader.read();
  };
  const relay = async (sink) => {
    const decoder = new TextDecoder();
    const encoder = new TextEncoder();
    let text = "";
    let isWhole = false;
    try {
      for (;;) {
        const { value, done } = await Promise.race([ended, unlessLost(read())]);
        if (done) break;
        text += decoder.decode(value, { stream: true });
        isWhole ||= text.includes('"msg":"close_stream"');
        // Whole messages, with the empty line that ends the last: without it, Gradio would act on that only
        // once more comes, and take a stream that is over for one to which a new call belongs.
        const end = text.includes("\n\n") ? text.lastIndexOf("\n\n") + 2 : 0;
        // For Gradio, another reason to load the page again.
        sink.enqueue(encoder.encode(text.slice(0, end).replaceAll('"session_not_found":true', '"session_not_found":false')));
        text = text.slice(end);
      }
    } catch {
      // Refused, cut, silent or left by Gradio.
    }
    network.refusal = "";
    network.isLost = !isWhole;
    await after(UPDATE_MILLISECONDS);
    try {
      sink.enqueue(encoder.encode("\n\n" + FAILED));
      sink.close();
    } catch {
      // Gradio had left.
    }
  };
  return new Response(new ReadableStream({
    start(sink) { relay(sink); },
    cancel() { if (reader) reader.cancel().catch(() => {}); },
  }));
}

// What is read, unless nothing comes. The server writes something every two seconds or more often: a stream that is
// silent is lost if the server does not answer either, and if it is silent for long.
async function unlessLost(reading) {
  const came = reading.then(() => true, () => true);
  for (let silences = 1; ; silences += 1) {
    if (await Promise.race([came, after(SILENCE_MILLISECONDS)])) return reading;
    if (silences === MOST_SILENCES || !(await Promise.race([came, isThere()]))) throw new Error("lost");
  }
}

function after(milliseconds) {
  return new Promise((done) => { setTimeout(done, milliseconds); });
}

async function isThere() {
  try {
    await fetch(base + "/healthz", { mode: "no-cors", cache: "no-store", ...limit(PROBE_MILLISECONDS) });
    return true;
  } catch {
    return false;
  }
}
