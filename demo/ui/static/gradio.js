// Served as /gradio.js: loads the demo's bundle once one of the page's embeds comes near the reader's eyes.
const embeds = [...document.querySelectorAll("gradio-app")];
// What the host put inside makes room at once for what replaces it, and comes back if nothing does.
const own = embeds.flatMap((embed) => [...embed.children]);
const showOwn = (shown) => own.forEach((element) => { element.hidden = !shown; });
const load = () => {
  showOwn(false);
  import("{bundle}").catch(() => showOwn(true));
};
if (!embeds.length || embeds.some((embed) => embed.getAttribute("eager") === "true")) {
  load();
} else {
  const near = new IntersectionObserver((seen) => {
    if (!seen.some((entry) => entry.isIntersecting)) return;
    near.disconnect();
    load();
  }, { rootMargin: "600px" });
  embeds.forEach((embed) => near.observe(embed));
}
