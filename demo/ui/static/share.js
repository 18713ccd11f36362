// Hands words, an address and a picture on: to the device's own share sheet, or, where there is none
// or it may not be opened, by copying the words and the address and saving the picture.

// `picture` is a canvas or null, `name` its file's name.
async function share(button, { text, address, picture = null, name = "" }) {
  const file = picture && new File([await asPng(picture)], name, { type: "image/png" });
  const whole = { text, url: address };
  const offers = file ? [{ ...whole, files: [file] }, whole] : [whole];
  const offer = navigator.canShare && offers.find((data) => navigator.canShare(data));
  if (offer) {
    try {
      await navigator.share(offer);
      return;
    } catch (error) {
      // Whoever closes the sheet wants nothing more.
      if (error.name === "AbortError") return;
    }
  }
  const copied = await copyText(`${text}\n${address}`);
  if (file) save(file);
  say(button, copied ? (file ? "Copied; picture saved" : "Copied") : "Your browser blocked copying");
}

function asPng(canvas) {
  return new Promise((done) => { canvas.toBlob(done, "image/png"); });
}

function save(file) {
  const link = make("a", { href: URL.createObjectURL(file), download: file.name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// X counts a link as so many characters, whatever its length.
const LINK_CHARACTERS = 23;
const TWEET_CHARACTERS = 280;
// What X counts once; everything else, emoji too, counts twice.
const COUNTS_ONCE = /[\u0000-\u10ff\u2000-\u200d\u2010-\u201f\u2032-\u2037]/;

// A text with its label, so that both and a link fit one tweet: a longer text is cut between words.
function tweetOf(text, label) {
  const ending = `\n— ${label}`;
  const count = (part) => [...part].reduce((sum, one) => sum + (COUNTS_ONCE.test(one) ? 1 : 2), 0);
  const room = TWEET_CHARACTERS - count(ending) - 1 - LINK_CHARACTERS;
  if (count(text) <= room) return text + ending;
  const points = [...text];
  while (count(points.join("")) + 2 > room) points.pop();
  const cut = points.join("").replace(/\s+\S{0,30}$/, "");
  return cut.trimEnd() + "…" + ending;
}
