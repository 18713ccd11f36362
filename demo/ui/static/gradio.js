// Served as /gradio.js: loads the demo's bundle once one of the page's embeds comes near the reader's eyes,
// also one that is added later, as the posts of a single-page blog are.
const DRAWN_MILLISECONDS = 10000;
const DRAWN = ".cd-card";

// A policy without 'unsafe-eval' lets Gradio draw nothing.
const mayDraw = () => {
  try {
    return Boolean(new Function(""));
  } catch {
    return false;
  }
};

const load = (embed) => {
  embed.classList.add("cd-embed");
  // What the host put inside makes room at once for what replaces it, and comes back if nothing does.
  const own = [...embed.children].filter((child) => !child.matches(".gradio-container"));
  const showOwn = (shown) => own.forEach((element) => { element.hidden = !shown; });
  showOwn(false);
  setTimeout(() => { if (!embed.querySelector(DRAWN)) showOwn(true); }, DRAWN_MILLISECONDS);
  import("{bundle}").catch(() => showOwn(true));
};

const near = new IntersectionObserver((seen) => {
  for (const { isIntersecting, target } of seen) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    load(target);
  }
}, { rootMargin: "600px" });

const met = new WeakSet();
const meet = (embed) => {
  if (met.has(embed)) return;
  met.add(embed);
  if (embed.getAttribute("eager") === "true") load(embed);
  else near.observe(embed);
};
const meetAll = () => document.querySelectorAll("gradio-app").forEach(meet);

if (mayDraw()) {
  meetAll();
  new MutationObserver(meetAll).observe(document.documentElement, { childList: true, subtree: true });
}
