// Put before the script of every component, which Gradio runs with `element` and `props`.
// Visitors' and models' words enter the page through textContent only.
const root = element.closest("#computer-dump");
// In an embed the page is somebody else's; there the element says where the app is.
const host = element.closest("gradio-app[src]");
const isEmbed = Boolean(host && host.getAttribute("src"));
const base = (isEmbed ? host.getAttribute("src") : ownAddress()).replace(/\/+$/, "");

// The page's own address as Gradio's client resolves it: behind a proxy that hides the port or https, the
// server knows neither.
function ownAddress() {
  const { root = "" } = window.gradio_config || {};
  const address = new URL(root || "/", window.location.href);
  if (address.hostname !== window.location.hostname) return root;
  address.protocol = window.location.protocol;
  address.host = window.location.host;
  return address.href;
}

const part = (name) => element.querySelector(".cd-" + name);

// An element with these properties and children.
function make(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// Puts a text into `target`, each of its passages `[from, to, mark]` inside of its mark. Offsets count
// characters, as Python does, and not halves of surrogate pairs.
function putMarked(target, text, passages) {
  const characters = [...text];
  const cut = (from, to) => characters.slice(from, to).join("");
  target.replaceChildren();
  let at = 0;
  for (const [from, to, mark] of passages) {
    if (to <= at || from >= characters.length) continue;
    const start = Math.max(from, at);
    mark.textContent = cut(start, to);
    target.append(cut(at, start), mark);
    at = to;
  }
  target.append(cut(at));
  redact(target);
}

// What the data have in place of most handles is drawn as if it were blacked out, and copied as it is.
const REDACTED = /@(user)\b/g;
function redact(target) {
  const walker = document.createTreeWalker(target, NodeFilter.SHOW_TEXT);
  const texts = [];
  while (walker.nextNode()) texts.push(walker.currentNode);
  for (const text of texts) {
    const pieces = text.data.split(REDACTED);
    const drawn = (piece, i) => (i % 2 ? ["@", make("span", { className: "cd-redacted" }, piece)] : piece);
    if (pieces.length > 1) text.replaceWith(...pieces.flatMap(drawn));
  }
}

// An ISO date as people write it.
function longDate(day) {
  return new Date(day).toLocaleDateString("en-GB", { dateStyle: "long", timeZone: "UTC" });
}

function put(target, text) {
  if (target.textContent !== text) target.textContent = text;
  target.hidden = !text;
}

// Has a link lead to a page or a mailbox and says whether it does: an address of another kind, such
// as "javascript:", could run something here.
function lead(link, address) {
  const leads = /^(https?:\/\/|mailto:)/i.test(address || "");
  if (leads) link.href = address;
  else link.removeAttribute("href");
  return leads;
}

// Runs `act` on what `find` finds, now or as soon as Gradio has put it into the page.
function whenThere(find, act) {
  const look = () => {
    const found = find();
    if (found) act(found);
    return Boolean(found);
  };
  if (look()) return;
  const seen = new MutationObserver(() => { if (look()) seen.disconnect(); });
  seen.observe(root, { childList: true, subtree: true });
}

// What Gradio draws last, or late: before all of it is there, an event would find no fields.
const DRAWN = ["#cd-header h1", "#cd-prompt textarea", ".cd-card", '#cd-settings input[type="range"]', "#cd-reset"];
const isDrawn = () => DRAWN.every((one) => root.querySelector(one));

const ANSWER_MILLISECONDS = 10000;
// Said where nothing else is known of why it does not answer.
const UNREACHABLE = "Can't reach the server. Try again in a moment.";

// What the server answers as JSON; throws with its sentence if it refuses, without one if it does
// not answer.
async function send(path, body) {
  let answer;
  let value;
  try {
    answer = await fetch(base + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(ANSWER_MILLISECONDS),
    });
    value = await answer.json();
  } catch {
    throw new Error("");
  }
  if (!answer.ok) throw Object.assign(new Error(value.detail || ""), { status: answer.status });
  return value;
}

// What this browser keeps, as JSON; null in an embed, where it would lie with the page around it. A
// browser may forbid storage, and anything may lie in it.
function stored(storage, key) {
  try {
    return isEmbed ? null : JSON.parse(window[storage].getItem(key));
  } catch {
    return null;
  }
}

function store(storage, key, value) {
  try {
    if (isEmbed) return;
    if (value === null) window[storage].removeItem(key);
    else window[storage].setItem(key, JSON.stringify(value));
  } catch {
    // Forbidden, or full: it lasts as long as the page.
  }
}

// Plain http pages have no navigator.clipboard; the older way needs a selected, visible field.
function copyBySelection(text) {
  const field = make("textarea", { value: text });
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

// The button says something for as long as it takes to read, and keeps the focus.
function say(button, sentence) {
  button.dataset.label ||= button.textContent;
  button.textContent = sentence;
  button.focus();
  clearTimeout(button.saying);
  button.saying = setTimeout(() => { button.textContent = button.dataset.label; }, Math.max(2000, 70 * sentence.length));
}

async function copyAndSay(button, text) {
  say(button, (await copyText(text)) ? "Copied" : "Blocked");
}
